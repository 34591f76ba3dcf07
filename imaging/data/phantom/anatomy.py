"""The chest without disease: soft tissue, air and the markings between, as X-ray attenuation.

Shapes are schematic, in the coordinates of `grid`; the patient's right is at the left of the picture.
Bones are drawn by `skeleton`, disease by `pathology`, the detector's part by `acquisition`.
"""

from dataclasses import dataclass

import numpy as np

from imaging.data.phantom.grid import TISSUE, Array, Grid, curve, dome, grid, ramp, texture
from imaging.data.phantom.patients import Exposure, Patient, View
from imaging.data.phantom.skeleton import bones
from imaging.data.phantom.vessels import vessel_tree

AIR = 1.6
"""Attenuation that a full depth of lung takes away."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Build:
    """How this patient is made; drawn once and the same in each of the patient's pictures."""

    girth: float
    width: float
    heart: float
    diaphragm: float
    markings: float
    breast: float
    rib_phase: float
    rib_spacing: float
    rib_strength: float
    aorta: float
    gas: float
    haze: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Lung:
    """One side: arrays (S, columns) over the columns `columns` of the picture."""

    side: int
    """-1 the patient's right lung (left of the picture), +1 the left lung."""
    columns: slice
    across: Array
    """Distance from the midline, in half sides."""
    height: Array
    """Upright coordinate y of the patient."""
    periphery: Array
    """Distance to the chest wall or diaphragm, negative outside."""
    air: Array
    """Depth of aerated lung, 0 to about 1."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Chest:
    """What the beam meets: `tissue` (S, S) attenuation without lungs, both lungs, and the vessels in them."""

    grid: Grid
    tissue: Array
    lungs: tuple[Lung, Lung]
    vessels: Array


def build(patient: Patient) -> Build:
    """Draw a patient's build."""
    rng = np.random.default_rng(patient.key)
    old = (patient.age - 50) / 40
    return Build(
        girth=float(np.clip(rng.normal(1, 0.12), 0.75, 1.35)),
        width=float(np.clip(rng.normal(1.0 if patient.sex == "M" else 0.94, 0.05), 0.84, 1.1)),
        heart=float(np.clip(rng.normal(1 + 0.06 * old, 0.09), 0.8, 1.3)),
        diaphragm=float(rng.normal(0, 0.05)),
        markings=float(np.clip(rng.normal(1 + 0.1 * old, 0.25), 0.45, 1.8)),
        breast=float(rng.uniform(0.08, 0.3)) if patient.sex == "F" else 0.0,
        rib_phase=float(rng.uniform(-0.5, 0.5)),
        rib_spacing=float(rng.normal(0.137, 0.006)),
        rib_strength=float(np.clip(rng.normal(1 - 0.12 * old, 0.15), 0.6, 1.4)),
        aorta=float(np.clip(rng.normal(1 + 0.15 * old, 0.15), 0.6, 1.5)),
        gas=float(rng.uniform(0, 1)),
        haze=float(rng.uniform(0, 1)),
    )


def chest(patient: Patient, exposure: Exposure, size: int) -> Chest:
    """Paint a patient's chest in the pose of one exposure."""
    shape, space = build(patient), grid(size)
    rng = np.random.default_rng((*exposure.key, 1))
    shift, drop, turn = rng.normal(0, (0.03, 0.025, 0.018)).astype(np.float32)
    scale = np.float32(rng.normal(1.0 if exposure.view == "PA" else 0.97, 0.025))
    x = (space.x - shift) / scale - turn * space.y
    y = (space.y - drop) / scale + turn * space.x
    breath = float(rng.normal(0, 0.03)) + (0.07 if exposure.view == "AP" else 0.0)
    depth = shape.diaphragm - breath
    middle = round((float(shift) + 1) / 2 * size)
    heart = _heart(x, y, space, shape, exposure.view)
    lungs = (
        _lung(-1, slice(0, middle), x, y, space, shape, depth, heart),
        _lung(1, slice(middle, size), x, y, space, shape, depth, heart),
    )
    tissue = _trunk(x, y, space, shape, lungs) + np.float32(0.5) * heart
    tissue += bones(x, y, space, shape.rib_phase, shape.rib_spacing, shape.rib_strength, exposure.view)
    _airways_and_gas(tissue, x, y, space, shape, depth)
    markings = vessel_tree(patient.key, size) * np.float32(0.38 * shape.markings)
    markings += texture(rng, size, TISSUE) * np.float32(0.035 * shape.markings)
    return Chest(grid=space, tissue=tissue, lungs=lungs, vessels=markings)


def _lung(side: int, columns: slice, x: Array, y: Array, space: Grid, shape: Build, depth: float, heart: Array) -> Lung:
    """One lung between chest wall, mediastinum and diaphragm."""
    across, height = x[:, columns] * side, y[:, columns]
    wall = [(-0.84, 0.2), (-0.8, 0.31), (-0.74, 0.4), (-0.6, 0.5), (-0.3, 0.6), (0, 0.68), (0.3, 0.73), (0.8, 0.77)]
    inner = [(-0.84, 0.33), (-0.8, 0.2), (-0.74, 0.15), (-0.6, 0.12), (-0.4, 0.13), (-0.1, 0.13), (0.8, 0.1)]
    lateral = curve(space, wall, smoothing=0.025) * np.float32(shape.width) - across
    medial = across - curve(space, inner, smoothing=0.025)
    centre, top = (0.34, 0.42 + depth) if side < 0 else (0.4, 0.46 + depth)
    bend = (across - np.float32(centre)) * np.float32(1 / 0.37)
    floor = np.float32(top) + np.float32(0.25) * bend * bend - height
    edge = np.minimum(lateral, floor)
    air = dome(np.minimum(edge, medial), 0.22) * (np.float32(1.05) - np.float32(0.18) * height)
    air *= 1 - np.float32(0.85) * heart[:, columns]
    if side > 0:
        knob = (across - np.float32(0.1)) ** 2 + (height + np.float32(0.33)) ** 2
        air *= 1 - np.float32(0.6) * ramp(np.float32((0.1 * shape.aorta) ** 2) - knob, 0.008)
    return Lung(side=side, columns=columns, across=across, height=height, periphery=edge, air=air)


def _heart(x: Array, y: Array, space: Grid, shape: Build, view: View) -> Array:
    """Depth of the heart and great vessels, 0 to 1, larger in AP where it is further from the detector."""
    size = shape.heart * (1.12 if view == "AP" else 1.0)
    part = space.rows(-0.6, 0.9), space.columns(-0.6, 0.75)
    x, y = x[part], y[part]
    a, b = x - np.float32(0.11), y - np.float32(0.3)
    along, beside = a * np.float32(0.86) + b * np.float32(0.5), b * np.float32(0.86) - a * np.float32(0.5)
    oval = (along * np.float32(1 / (0.4 * size))) ** 2 + (beside * np.float32(1 / (0.29 * size))) ** 2
    muscle = np.sqrt(np.clip(1 - oval, 0, 1))
    hilum = (np.abs(x) - np.float32(0.1)) ** 2 * np.float32(60) + (y + np.float32(0.06)) ** 2 * np.float32(16)
    depth = np.zeros((space.size, space.size), np.float32)
    depth[part] = np.maximum(muscle, np.float32(0.45) * np.exp(-hilum))
    return depth


def _trunk(x: Array, y: Array, space: Grid, shape: Build, lungs: tuple[Lung, Lung]) -> Array:
    """Soft tissue from shoulder to waist, the mediastinum, the abdomen below the diaphragm, and breasts."""
    shoulder = [(-1, 0.25), (-0.92, 0.28), (-0.84, 0.5), (-0.74, 0.85), (-0.6, 1.02)]
    outline = [*shoulder, (-0.2, 1.06), (0.2, 0.98), (1, 1.0)]
    half_width = curve(space, outline, smoothing=0.05) * np.float32(shape.width**0.7)
    thickness = np.float32(2.15 * shape.girth) * (1 + np.float32(0.1) * space.y)
    flank = np.square(x / half_width)
    trunk = np.sqrt(np.clip(1 - flank * flank, 0, 1)) * thickness
    trunk += np.float32(0.22) * np.exp(-((x * np.float32(1 / 0.13)) ** 2))
    rows = space.rows(-0.1, 1)
    for lung in lungs:
        belly = ramp(np.float32(0.02) - lung.periphery[rows], 0.5) * ramp(lung.height[rows], 0.5)
        trunk[rows, lung.columns] += np.float32(0.45) * belly
    if shape.breast:
        rows = space.rows(-0.2, 0.8)
        spread = np.square((np.abs(x[rows]) - np.float32(0.42)) * np.float32(1 / 0.34))
        disc = 1 - spread - np.square((y[rows] - np.float32(0.3)) * np.float32(1 / 0.33))
        trunk[rows] += np.float32(shape.breast) * np.sqrt(np.clip(disc, 0, 1))
    return trunk


def _airways_and_gas(tissue: Array, x: Array, y: Array, space: Grid, shape: Build, depth: float) -> None:
    """Take away the trachea, the main bronchi and gas in the stomach, in place."""
    rows, columns = space.rows(-1, 0.1), space.columns(-0.35, 0.35)
    across, down = x[rows, columns], y[rows, columns]
    split = np.maximum(down + np.float32(0.26), 0)
    tube = np.abs(np.abs(across - np.float32(0.012)) - split * np.float32(0.95))
    open_way = ramp(np.float32(0.052) - tube, 0.035) * ramp(np.float32(-0.02) - down, 0.2)
    tissue[rows, columns] -= np.float32(0.36) * open_way
    if shape.gas > 0.35:
        rows, columns = space.rows(0.3, 1), space.columns(0.05, 0.8)
        across, down = x[rows, columns], y[rows, columns]
        disc = ((across - np.float32(0.38)) / np.float32(0.1 + 0.12 * shape.gas)) ** 2
        disc = disc + ((down - np.float32(0.6 + depth)) * np.float32(1 / 0.085)) ** 2
        tissue[rows, columns] -= np.float32(0.4 * shape.gas) * np.sqrt(np.clip(1 - disc, 0, 1))
