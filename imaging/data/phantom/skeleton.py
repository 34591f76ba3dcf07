"""Ribs, clavicles, spine, scapulae and upper arms, as attenuation to be added to the soft tissue."""

import numpy as np

from imaging.data.phantom.grid import Array, Grid, curve, ramp
from imaging.data.phantom.patients import View

RIBS = 10


def bones(x: Array, y: Array, space: Grid, phase: float, spacing: float, strength: float, view: View) -> Array:
    """Return the skeleton's attenuation (S, S).

    Args:
        x: Patient's coordinates across (S, S).
        y: Patient's coordinates down (S, S).
        space: The picture's grid.
        phase: Where the first rib lies, in [-0.5, 0.5] of the spacing.
        spacing: Distance between ribs, in half sides.
        strength: Mineral density, about 1.
        view: AP shows steeper clavicles and the shoulder blades over the lungs.
    """
    drawn = np.zeros((space.size, space.size), np.float32)
    across = np.abs(x)
    _ribs(drawn, across, y, space, phase * spacing, spacing)
    _clavicles(drawn, across, y, space, steep=view == "AP")
    _spine(drawn, x, y, space, spacing)
    _shoulders(drawn, across, y, space, overlap=0.12 if view == "AP" else 0.0)
    drawn *= np.float32(strength)
    return drawn


def _ribs(drawn: Array, across: Array, y: Array, space: Grid, offset: float, spacing: float) -> None:
    """Posterior ribs arch out from the spine and down; anterior ribs come back, sloping to the sternum."""
    rows = space.rows(-0.85, 0.85)
    cage = [(-0.85, 0.3), (-0.75, 0.44), (-0.6, 0.56), (-0.3, 0.66), (0, 0.74), (0.3, 0.785), (0.9, 0.82)]
    u = across[rows] / curve(space, cage)[rows]
    down = y[rows]
    square = u * u
    inside = ramp(np.float32(1.02) - u, 0.06)
    behind = down - (np.float32(-0.76 + offset) - np.float32(0.05) * u + np.float32(0.33) * square * u)
    front = down - (np.float32(-0.76 + offset + 0.55) - np.float32(0.27) * square)
    tubes = np.float32(0.42) * _tubes(behind, spacing, 0.21) * ramp(u - np.float32(0.08), 0.05)
    tubes += np.float32(0.2) * _tubes(front, spacing, 0.24) * ramp(u - np.float32(0.42), 0.2)
    drawn[rows] += tubes * inside


def _tubes(distance: Array, spacing: float, half_width: float) -> Array:
    """A row of hollow tubes below `distance` 0: brighter at the rims, as cortical bone is."""
    place = distance * np.float32(1 / spacing)
    nearest = np.clip(np.rint(place), 0, RIBS - 1)
    z = (place - nearest) * np.float32(1 / half_width)
    z *= z
    outer = np.sqrt(np.clip(1 - z, 0, 1))
    outer -= np.float32(0.5) * np.sqrt(np.clip(1 - z * np.float32(1.9), 0, 1))
    return outer


def _clavicles(drawn: Array, across: Array, y: Array, space: Grid, *, steep: bool) -> None:
    rows = space.rows(-1, -0.3)
    u, down = across[rows], y[rows]
    rise = 0.24 if steep else 0.13
    line = np.float32(-0.56) - np.float32(rise) * u + np.float32(0.055) * np.sin(u * np.float32(8.5))
    z = ((down - line) / (np.float32(0.03) + np.float32(0.012) * u)) ** 2
    tube = np.sqrt(np.clip(1 - z, 0, 1)) - np.float32(0.45) * np.sqrt(np.clip(1 - z * np.float32(2.2), 0, 1))
    drawn[rows] += np.float32(0.48) * tube * ramp(u - np.float32(0.05), 0.04) * ramp(np.float32(0.72) - u, 0.05)


def _spine(drawn: Array, x: Array, y: Array, space: Grid, spacing: float) -> None:
    columns = space.columns(-0.25, 0.25)
    u, down = x[:, columns], y[:, columns]
    column = ramp(np.float32(0.095) - np.abs(u), 0.03)
    place = down * np.float32(1 / (spacing * 0.98))
    disc = np.abs(place - np.rint(place))
    rim = ramp(np.float32(0.2) - np.abs(disc - np.float32(0.14)), 0.2)
    plates = np.float32(0.14) + np.float32(0.09) * ramp(disc, 0.12) + np.float32(0.1) * rim
    drawn[:, columns] += column * plates


def _shoulders(drawn: Array, across: Array, y: Array, space: Grid, *, overlap: float) -> None:
    """Shoulder blades beside (AP: over) the lungs, and the heads of the upper arms."""
    rows = space.rows(-0.85, 0.3)
    u, down = across[rows], y[rows]
    blade = u - (np.float32(0.72 - overlap) - np.float32(0.22) * np.abs(down + np.float32(0.3)))
    fade = ramp(np.float32(0.12) - down, 0.15) * ramp(down + np.float32(0.72), 0.1)
    drawn[rows] += np.float32(0.16) * ramp(blade, 0.02) * ramp(np.float32(0.3) - blade, 0.1) * fade
    head = (u - np.float32(0.9)) ** 2 + (down + np.float32(0.5)) ** 2
    drawn[rows] += np.float32(0.22) * ramp(np.float32(0.024) - head, 0.012)
