"""The servers that `bench_serving.py` measures beside ours, and what all of them are asked."""
