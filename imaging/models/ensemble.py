"""Several networks of one architecture that answer as one: a deep ensemble.

The answer is the mean of the members' probabilities, as logits: log(mean(softmax)). So all that comes after a network
(calibration, ONNX, explanation, gates) takes an ensemble for a network. Its feature map is the members' maps side by
side, which its head takes apart again. A heat map explains the sum of their logits, so it adds up their maps before
these are cut at 0 and scaled: the logarithm of a mean probability would show what speaks against other classes too. An
image's embedding is the members' side by side: unlike images are unlike to any of them.

Source: Lakshminarayanan et al. 2017, "Simple and scalable predictive uncertainty estimation using deep ensembles",
sections 2.4 and 3.1.
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from imaging.errors import ConfigurationError
from imaging.models.layers import Layout, layout_of

HEAD = "combine"


class EachMember(nn.Module):
    """One part of every member. Takes their features side by side, and gives theirs side by side."""

    def __init__(self, parts: Sequence[nn.Module], *, same_input: bool = False) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self._same_input = same_input

    def forward(self, features: Tensor) -> Tensor:
        """Return features; the first part of a network gives every member the same images."""
        count = len(self.parts)
        given = [features] * count if self._same_input else _apart(features, count)
        return _together([part(one) for part, one in zip(self.parts, given, strict=True)])


class Combine(nn.Module):
    """The members' heads, and the logarithm of their mean probability."""

    def __init__(self, heads: Sequence[nn.Module]) -> None:
        super().__init__()
        self.heads = nn.ModuleList(heads)

    def forward(self, features: Tensor) -> Tensor:
        """Return logits (N, classes)."""
        return mean_logits(self.each(features))

    def each(self, features: Tensor) -> Tensor:
        """Return each member's own logits (members, N, classes)."""
        given = _apart(features, len(self.heads))
        return torch.stack([head(one) for head, one in zip(self.heads, given, strict=True)])


class Ensemble(nn.Module):
    """Images (N, C, S, S) to logits (N, classes).

    Args:
        members: From `build_model`, all of one architecture, head and number of classes.
    """

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        if len(members) < 2:
            raise ConfigurationError(f"an ensemble has at least 2 members, got {len(members)}")
        self.members = nn.ModuleList(members)
        self.combine = Combine([member.get_submodule(layout_of(member).head) for member in members])
        # the heads are the members' own: on disk they are there once
        self.register_state_dict_post_hook(_leave_out)
        self.register_load_state_dict_post_hook(_miss_nothing)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits."""
        return mean_logits(torch.stack([member(images) for member in self.members]))


def mean_logits(logits: Tensor) -> Tensor:
    """Return log(mean(softmax(logits))): (members, N, classes) to (N, classes)."""
    return torch.logsumexp(torch.log_softmax(logits, dim=-1), dim=0) - math.log(len(logits))


def ensemble_of(count: int, build: Callable[[], nn.Module]) -> nn.Module:
    """Return one network, or an ensemble of `count`."""
    return build() if count == 1 else Ensemble([build() for _ in range(count)])


def ensemble_layout(model: nn.Module) -> Layout:
    """Lay out an ensemble: every block is that block of each member."""
    members = list(model.get_submodule("members").children())
    layouts = [layout_of(member) for member in members]
    columns = zip(*(layout.blocks for layout in layouts), strict=True)
    return Layout(
        blocks=[EachMember(parts, same_input=depth == 0) for depth, parts in enumerate(columns)],
        pooling=EachMember([layout.pooling for layout in layouts]),
        head=HEAD,
        feature_depth=layouts[0].feature_depth,
        known=layouts[0].known,
    )


def _features_at(features: Tensor) -> int:
    """Return the dimension of the features: the last of tokens (N, T, F), else the second."""
    return 2 if features.ndim == 3 else 1


def _apart(features: Tensor, count: int) -> tuple[Tensor, ...]:
    return features.chunk(count, dim=_features_at(features))


def _together(parts: list[Tensor]) -> Tensor:
    return torch.cat(parts, dim=_features_at(parts[0]))


def _leave_out(_module: nn.Module, state: dict[str, Tensor], prefix: str, _metadata: object) -> None:
    for name in [name for name in state if name.startswith(f"{prefix}{HEAD}.")]:
        del state[name]


def _miss_nothing(_module: nn.Module, keys: "torch.nn.modules.module._IncompatibleKeys") -> None:
    keys.missing_keys[:] = [name for name in keys.missing_keys if not name.startswith(f"{HEAD}.")]
