"""One picture, from patient to grey values; and pictures in memory for tests."""

import numpy as np
from numpy.typing import NDArray

from imaging.data.phantom.acquisition import LEVELS, acquire
from imaging.data.phantom.anatomy import chest
from imaging.data.phantom.pathology import Shadow, shadow
from imaging.data.phantom.patients import Exposure, Patient, draw_patient
from imaging.data.phantom.styles import Style, style_of


def paint(patient: Patient, exposure: Exposure, style: Style, *, size: int) -> NDArray[np.uint16]:
    """Return display values (size, size) in 0..4095, bright where the beam is stopped."""
    return develop(irradiate(patient, exposure, size=size), exposure, style)


def irradiate(patient: Patient, exposure: Exposure, *, size: int) -> Shadow:
    """Return what the beam meets, and where lungs and disease are in it."""
    rng = np.random.default_rng((*exposure.key, 2))
    return shadow(chest(patient, exposure, size), patient.label, exposure.severity, rng)


def develop(through: Shadow, exposure: Exposure, style: Style) -> NDArray[np.uint16]:
    """Return the display values that a device makes of it."""
    return acquire(through.attenuation, style, np.random.default_rng((*exposure.key, 3)))


def reference_images(n: int, *, seed: int = 0, size: int = 64, site: str = "A") -> list[tuple[NDArray[np.uint8], str]]:
    """Return `n` pictures (size, size) uint8 with their classes, one a patient, classes in turn balanced."""
    pictures = []
    for index in range(n):
        patient = draw_patient(index, seed=seed, site=site)
        shown = paint(patient, patient.exposures[0], style_of(site, patient.device), size=size)
        pictures.append(((shown // (LEVELS // 256)).astype(np.uint8), patient.label))
    return pictures
