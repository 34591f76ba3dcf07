"""How a site's devices make pictures look: a table of sites, and a continuous drift away from it.

A style never depends on the class, so nothing about a disease can be read off it.
"""

from dataclasses import dataclass, replace

import numpy as np

from imaging.data.phantom.patients import code


@dataclass(frozen=True, kw_only=True, slots=True)
class Style:
    """One device's way from attenuation to grey values."""

    manufacturer: str
    model: str
    modality: str
    """CR or DX."""
    monochrome1: bool
    """Whether it stores the negative."""
    windowed: bool
    """Whether it writes a display window."""
    gamma: float
    contrast: float
    brightness: float
    noise: float
    """Relative quantum noise at the open beam."""
    scatter: float
    sharpness: float
    """Positive: edge enhancement; negative: blur."""
    border: float
    """Widest collimated margin, in half sides."""
    marker: tuple[float, float]
    """Where the side marker lies (x, y)."""


_CR = Style(
    manufacturer="Aurora Imaging",
    model="Cassette 12",
    modality="CR",
    monochrome1=True,
    windowed=True,
    gamma=1.0,
    contrast=0.95,
    brightness=0.0,
    noise=0.017,
    scatter=0.1,
    sharpness=0.2,
    border=0.05,
    marker=(0.82, -0.86),
)
_DX = replace(
    _CR,
    manufacturer="Borealis Medical",
    model="Panel 43",
    modality="DX",
    monochrome1=False,
    contrast=1.02,
    noise=0.012,
    scatter=0.075,
    sharpness=0.45,
)

_B = replace(_DX, manufacturer="Cirrus Health", model="Flat 2", gamma=1.22, contrast=1.12)
_C = replace(_DX, manufacturer="Estrella Rad", model="Mobile 1", gamma=0.88, contrast=0.88)

SITES: dict[str, tuple[Style, ...]] = {
    "A": (_CR, _DX, replace(_DX, model="Panel 35", windowed=False, gamma=1.05)),
    "B": (
        replace(_B, border=0.09, marker=(-0.82, -0.88)),
        replace(_CR, manufacturer="Dorado Systems", model="Plate X", gamma=1.15, sharpness=0.0, marker=(-0.8, 0.84)),
    ),
    "C": (
        replace(_C, noise=0.024, sharpness=0.1, border=0.12),
        replace(_CR, model="Cassette 8", gamma=0.92, noise=0.026, sharpness=-0.2, marker=(0.84, 0.8)),
    ),
}


def style_of(site: str, device: float, *, shift: float = 0.0) -> Style:
    """Return the style of device `device` (in [0, 1)) of a site, moved by `shift` in [0, 1].

    A shift brightens, flattens, sharpens and roughens the pictures, as a new detector with another
    processing would. Sites outside the table get a style of their own, made from their name.
    """
    devices = SITES.get(site) or _invented(site)
    chosen = devices[int(device * len(devices))]
    return replace(
        chosen,
        gamma=chosen.gamma * (1 - 0.42 * shift),
        contrast=chosen.contrast * (1 - 0.32 * shift),
        brightness=chosen.brightness + 0.05 * shift,
        noise=chosen.noise * (1 + 0.9 * shift),
        sharpness=chosen.sharpness + 1.6 * shift,
    )


def _invented(site: str) -> tuple[Style, ...]:
    rng = np.random.default_rng((code(site), 7))
    gamma, contrast = float(rng.uniform(0.85, 1.25)), float(rng.uniform(0.88, 1.12))
    name = f"Works {code(site) % 1000:03d}"
    left = float(rng.choice((-0.82, 0.82)))
    base = replace(_DX, manufacturer=name, gamma=gamma, contrast=contrast, border=float(rng.uniform(0, 0.12)))
    base = replace(base, marker=(left, -0.86))
    return (base, replace(base, modality="CR", monochrome1=True, noise=_CR.noise, scatter=_CR.scatter))
