"""Disease as air replaced: lobar consolidation (pneumonia), peripheral ground glass on both sides (covid).

`fill` in [0, 1] is the part of the lung's air that is gone; borders of heart and diaphragm vanish by
themselves where the lung beside them is filled. Everybody may also have a little haze or a basal band
that means nothing, so that no single grey value tells the classes apart.
"""

from dataclasses import dataclass

import numpy as np

from imaging.data.phantom.anatomy import AIR, Chest, Lung
from imaging.data.phantom.grid import PATCHES, Array, ramp, texture
from imaging.data.regions import Box, box_around


@dataclass(frozen=True, kw_only=True, slots=True)
class Lobe:
    """Where a lobe shows in a frontal picture: centre and half axes, and its fissure where one is seen."""

    side: int
    across: float
    height: float
    half_width: float
    half_height: float
    above: float | None = None
    """Nothing below this height: the horizontal fissure."""
    below: float | None = None
    """Nothing above this height."""


LOBES = (
    Lobe(side=-1, across=0.3, height=-0.34, half_width=0.24, half_height=0.3, above=-0.1),
    Lobe(side=-1, across=0.27, height=0.16, half_width=0.24, half_height=0.2, below=-0.09),
    Lobe(side=-1, across=0.4, height=0.32, half_width=0.28, half_height=0.26),
    Lobe(side=1, across=0.3, height=-0.22, half_width=0.24, half_height=0.36),
    Lobe(side=1, across=0.42, height=0.34, half_width=0.27, half_height=0.27),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Shadow:
    """What a chest leaves behind the beam, and where in it are the places that count."""

    attenuation: Array
    """(S, S)."""
    lesions: tuple[Box, ...]
    """One box a lung that is ill, around where its disease takes away at least `PLAIN` of the most it does."""
    lungs: tuple[Box, ...]
    """One box a lung, around where there is plainly air, or would be in health."""


PLAIN = 0.3
AIRY = 0.15
"""Depth of air that counts as lung."""


def attenuation(chest: Chest, label: str, severity: float, rng: np.random.Generator) -> Array:
    """Return the attenuation (S, S) of a chest with disease `label` of `severity` in [0, 1]."""
    return shadow(chest, label, severity, rng).attenuation


def shadow(chest: Chest, label: str, severity: float, rng: np.random.Generator) -> Shadow:
    """Return the attenuation of a chest with disease `label` of `severity` in [0, 1], and where both lie."""
    total = chest.tissue.copy()
    ragged = texture(rng, chest.grid.size, PATCHES)
    lobe = LOBES[int(rng.integers(len(LOBES)))]
    shares = rng.uniform(0.65, 1.0, 2)
    nuisance = rng.uniform(0, 1, 4)
    lesions: list[Box | None] = []
    for lung, share in zip(chest.lungs, shares, strict=True):
        rough = ragged[:, lung.columns]
        marks = chest.vessels[:, lung.columns]
        left = 1 - _harmless(lung, rough, nuisance)
        filled: Array | None = None
        if label == "pneumonia" and lobe.side == lung.side:
            filled = _consolidation(lung, lobe, rough, marks, severity)
        elif label == "covid":
            filled = _ground_glass(lung, rough, severity * share, rng)
        if filled is not None:
            left *= 1 - filled
            opacity = lung.air * filled
            lesions.append(_box(chest, lung, opacity > PLAIN * float(opacity.max())))
        air = lung.air * left
        total[:, lung.columns] -= air * (np.float32(AIR) - marks)
    lungs = [_box(chest, lung, lung.air >= AIRY) for lung in chest.lungs]
    return Shadow(
        attenuation=total,
        lesions=tuple(box for box in lesions if box is not None),
        lungs=tuple(box for box in lungs if box is not None),
    )


def _box(chest: Chest, lung: Lung, inside: np.ndarray) -> Box | None:
    """Return the box around a part of one lung's columns."""
    whole = np.zeros((chest.grid.size, chest.grid.size), bool)
    whole[:, lung.columns] = inside
    return box_around(whole)


def _consolidation(lung: Lung, lobe: Lobe, rough: Array, marks: Array, severity: float) -> Array:
    """Dense, ragged, bounded by a fissure where there is one; bronchi stay open and show dark."""
    reach = 0.75 + 0.45 * severity
    a = (lung.across - np.float32(lobe.across)) * np.float32(1 / (lobe.half_width * reach))
    b = (lung.height - np.float32(lobe.height)) * np.float32(1 / (lobe.half_height * reach))
    inside = ramp(1 - a * a - b * b + np.float32(0.3) * rough, 0.75)
    if lobe.above is not None:
        inside *= ramp(np.float32(lobe.above) + np.float32(0.05) * lung.across - lung.height, 0.02)
    if lobe.below is not None:
        inside *= ramp(lung.height - np.float32(lobe.below), 0.03)
    strength = 0.2 + 0.68 * severity
    return inside * (np.float32(strength) * (1 - np.float32(0.8) * np.clip(marks, 0, 0.4)))


def _ground_glass(lung: Lung, rough: Array, severity: float, rng: np.random.Generator) -> Array:
    """Hazy patches along the chest wall, most in the middle and lower zones; vessels still show through."""
    centre = np.float32(rng.normal(0.12, 0.08))
    wall = (np.float32(0.17 + 0.1 * severity) - lung.periphery) * np.float32(1 / 0.22)
    zone = np.exp(-(((lung.height - centre) * np.float32(1 / 0.42)) ** 2))
    patches = np.float32(0.3) + np.float32(0.7) * ramp(rough * np.float32(0.8) + np.float32(0.3 + 0.4 * severity), 0.8)
    strength = 0.2 + 0.72 * severity
    return ramp(wall, 0.8) * zone * patches * np.float32(strength)


def _harmless(lung: Lung, rough: Array, nuisance: np.ndarray) -> Array:
    """What healthy pictures have too: uneven aeration, sometimes a hazy base or a band of collapse."""
    amount = 0.05 + 0.07 * float(nuisance[0])
    fill = np.float32(amount) * ramp(rough, 2.0)
    if nuisance[1] < 0.2:
        fill = fill + np.float32(0.3 * nuisance[2]) * ramp(lung.height - np.float32(0.15), 0.4) * ramp(rough + 1, 2.0)
    if nuisance[3] < 0.2 and (nuisance[0] < 0.5) == (lung.side < 0):
        line = lung.height - np.float32(0.34) + np.float32(0.15) * lung.across
        band = np.exp(-((line * np.float32(1 / 0.018)) ** 2)) * ramp(lung.across - np.float32(0.2), 0.1)
        fill = fill + np.float32(0.3) * band
    return np.clip(fill, 0, 0.8)
