"""One module a command group; each imports what is heavy inside its commands, so that `--help` stays quick."""
