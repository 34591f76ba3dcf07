"""Networks that can be trained: a table of torchvision builders with a head of our own, and how they are fed.

Light to import: torch and torchvision are loaded by the functions that build or read a network.
Weights are `weights`, normalisation is `preprocessing`, models on disk are `directory`.
"""

from imaging.models.architectures import MODELS, Architecture, build_model, check_input_size, get_architecture

__all__ = ["MODELS", "Architecture", "build_model", "check_input_size", "get_architecture"]
