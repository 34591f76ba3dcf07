"""From an approved version to an answer over HTTP: the handler, its archive, the release step, typed clients."""
