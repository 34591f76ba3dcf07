"""Occlusion: how much less sure a network is when a window of the picture is covered. For any network, no gradient.

Source: Zeiler & Fergus 2014, "Visualizing and understanding convolutional networks", section 4.2.
"""

import torch
from torch import Tensor, nn

WINDOWS = 13
"""Along a side, each half over the next: 169 passes an image, whatever its size."""
AT_ONCE = 32
"""Covered images in one pass."""


@torch.no_grad()
def occlusion(
    model: nn.Module, inputs: Tensor, targets: Tensor, *, fill: Tensor | None = None, windows: int = WINDOWS
) -> Tensor:
    """Cover window after window, and see what it costs the class.

    Args:
        model: In evaluation mode, to logits.
        inputs: (N, C, S, S) float32, normalised.
        targets: (N,) int64.
        fill: (N, C, 1, 1), what covers each image, normalised; zeros where absent.
        windows: Along a side; fewer where the image has too few pixels.

    Returns:
        (N, S, S) float32: the fall of the class's log-probability, averaged over the windows that cover a pixel.
    """
    side = inputs.shape[-1]
    covers = inputs.new_zeros(len(inputs), inputs.shape[1], 1, 1) if fill is None else fill
    places = _places(side, min(windows, side // 2))
    maps = []
    for image, cover, target in zip(inputs, covers, targets, strict=True):
        sure = model(image[None]).log_softmax(1)[0, target]
        falls = []
        for start in range(0, len(places), AT_ONCE):
            some = places[start : start + AT_ONCE]
            covered = image.repeat(len(some), 1, 1, 1)
            for one, (rows, columns) in zip(covered, some, strict=True):
                one[:, rows, columns] = cover
            falls.append(sure - model(covered).log_softmax(1)[:, target])
        maps.append(_averaged(torch.cat(falls), places, side))
    return torch.stack(maps)


def _places(side: int, windows: int) -> list[tuple[slice, slice]]:
    """Return the windows: `windows` + 1 strips along each side, a window is two of them wide and high."""
    edges = [round(step * side / (windows + 1)) for step in range(windows + 2)]
    spans = [slice(edges[step], edges[step + 2]) for step in range(windows)]
    return [(rows, columns) for rows in spans for columns in spans]


def _averaged(falls: Tensor, places: list[tuple[slice, slice]], side: int) -> Tensor:
    total, seen = falls.new_zeros(side, side), falls.new_zeros(side, side)
    for fall, (rows, columns) in zip(falls, places, strict=True):
        total[rows, columns] += fall
        seen[rows, columns] += 1
    return total / seen.clamp_min(1)
