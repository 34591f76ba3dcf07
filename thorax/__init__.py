"""The front door: the `thorax` command line, the one-machine stack, and the demo. It decides nothing itself."""
