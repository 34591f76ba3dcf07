"""The whole loop told as timed stages: data, pipeline, gates, approval, serving, drift, retraining, record."""
