"""Who is imaged: patients and their examinations, drawn from a seed before anything is painted.

Every draw is keyed by (seed, site, patient), so a patient is the same whatever the number of patients.
The class is drawn apart from everything a device or site decides, and balanced in every three patients.
"""

import hashlib
from dataclasses import dataclass
from typing import Literal

import numpy as np

CLASSES = ("normal", "pneumonia", "covid")

View = Literal["PA", "AP"]
Sex = Literal["F", "M"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Exposure:
    """One picture of one patient: `severity` in [0, 1] counts for the sick only."""

    number: int
    view: View
    severity: float
    key: tuple[int, ...]
    """Seeds everything random in this picture."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Patient:
    """One synthetic patient; nobody real."""

    identifier: str
    label: str
    sex: Sex
    age: int
    study_day: int
    """Days after 2025-01-01."""
    device: float
    """In [0, 1): picks the device among the site's."""
    key: tuple[int, ...]
    """Seeds the anatomy."""
    exposures: tuple[Exposure, ...]
    side: Literal["train", "val", "test"]
    """The split's own side, with equal shares of the classes; `train` leaves room for calibration."""


def code(text: str) -> int:
    """Return a stable 32-bit number for `text`."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


def uid(*parts: object) -> str:
    """Return a valid DICOM UID derived from `parts` (root 2.25, DICOM PS3.5 B.2)."""
    digest = hashlib.sha256("|".join(map(str, parts)).encode()).digest()
    return f"2.25.{int.from_bytes(digest[:16], 'big')}"


def draw_patient(index: int, *, seed: int, site: str) -> Patient:
    """Return patient `index` of a site."""
    key = (seed, code(site), index)
    rng = np.random.default_rng((*key, 1))
    view: View = "AP" if rng.random() < 0.35 else "PA"
    exposures = int(rng.choice((1, 2, 3), p=(0.4, 0.35, 0.25)))
    severity = _severity(rng)
    return Patient(
        identifier=f"{site}-{code(f'{seed}/{site}/{index}'):08x}",
        label=_label(index, seed=seed, site=site),
        sex="F" if rng.random() < 0.5 else "M",
        age=int(np.clip(rng.normal(54, 18), 18, 92)),
        study_day=int(rng.integers(0, 600)),
        device=float(rng.random()),
        key=(*key, 2),
        exposures=tuple(
            Exposure(
                number=number,
                view=view,
                severity=float(np.clip(severity + rng.normal(0, 0.1), 0.03, 1)),
                key=(*key, 3, number),
            )
            for number in range(1, exposures + 1)
        ),
        side=_side(index),
    )


def _side(index: int) -> Literal["train", "val", "test"]:
    """Put 7 in 25 threes of patients, one of each class, on the test side and 3 on the validation side."""
    place = index // len(CLASSES) % 25
    if place < 7:
        return "test"
    return "val" if place < 10 else "train"


def _severity(rng: np.random.Generator) -> float:
    """Mostly plain disease, with one in six so faint that readers would argue."""
    return float(rng.uniform(0.03, 0.3) if rng.random() < 0.17 else rng.uniform(0.33, 1.0))


def _label(index: int, *, seed: int, site: str) -> str:
    block, place = divmod(index, len(CLASSES))
    order = np.random.default_rng((seed, code(site), block, 4)).permutation(len(CLASSES))
    return CLASSES[int(order[place])]
