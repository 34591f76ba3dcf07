"""The whole loop told as a story of timed stages: data, pipeline, gates, approval, serving, drift, retraining, record."""
