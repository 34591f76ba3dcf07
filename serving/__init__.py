"""From an approved version to an answer over HTTP: TorchServe's handler and archive, the release step, typed clients."""
