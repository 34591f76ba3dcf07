"""Thorax on Kubernetes, from outside: render what is applied, and see whether a cluster has what it needs."""
