"""A network of which only the last linear layer is known: everything below it as one block."""

import copy

from torch import Tensor, nn

from imaging.errors import ConfigurationError


class NewHead(nn.Sequential):
    """A classifier that no weights file holds; its last linear layer gives the logits."""


class HeadlessNetwork(nn.Module):
    """The network with nothing in the place of its head; shares its parameters.

    Maps images to what the head reads, (N, F).
    """

    def __init__(self, model: nn.Module, head: str) -> None:
        super().__init__()
        self.network = _without(model, head.split("."))

    def forward(self, images: Tensor) -> Tensor:
        """Return features."""
        return self.network(images)


def last_linear(model: nn.Module) -> str:
    """Return the dotted name of the new head, or else of the last linear layer.

    Raises:
        ConfigurationError: when there is none.
    """
    for kind in (NewHead, nn.Linear):
        names = [name for name, layer in model.named_modules() if isinstance(layer, kind)]
        if names:
            return names[-1]
    raise ConfigurationError(f"{type(model).__name__} has no linear layer at its end, so no head that can be replaced")


def _without(model: nn.Module, path: list[str]) -> nn.Module:
    """Copy the modules along `path`, nothing else, and end it in nothing."""
    if not path:
        return nn.Identity()
    shell = copy.copy(model)
    shell._modules = dict(model._modules)
    setattr(shell, path[0], _without(model.get_submodule(path[0]), path[1:]))
    return shell
