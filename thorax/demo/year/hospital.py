"""The hospital: three sites, and what happens in which week of its year.

Nothing here knows the watch. Each week a site sends images of its own devices; a scanner is replaced, a wave of
pneumonia comes and goes, and for a while one site's labels are wrong.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

BEGINS = datetime(2025, 1, 6, tzinfo=UTC)
WEEKS = 52
SITES = ("A", "B", "C")
A_WEEK = 70
"""Images of a site."""
SCANNER_SITE, SCANNER_FROM = "B", 14
WAVE = range(27, 35)
WAVE_SHARE = 0.65
USUAL_SHARE = 1 / 3
MISLABELLED_SITE, MISLABELLED = "C", range(36, 40)
LABELS_LATE = 2
"""Weeks from the answer to its label."""
LABELLED_SHARE = 0.6
NOTICED_AFTER = 4
"""Weeks until somebody looks at the wrong labels and corrects them."""
WAVE_CLASS = "pneumonia"


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """Something that happens, and when a watch that works has found it."""

    name: str
    weeks: range
    found_by: int
    """The last week in which finding it is in time."""
    kind: str
    """`drift` or `performance`: which alarm it should raise."""


EVENTS = (
    Event(
        name=f"site {SCANNER_SITE} replaces its scanner",
        weeks=range(SCANNER_FROM, SCANNER_FROM + 8),
        found_by=SCANNER_FROM + 1,
        kind="drift",
    ),
    Event(name="a wave of pneumonia", weeks=WAVE, found_by=WAVE.start + 2, kind="drift"),
    Event(
        name=f"site {MISLABELLED_SITE} labels wrongly",
        weeks=range(MISLABELLED.start, MISLABELLED.stop + LABELS_LATE + NOTICED_AFTER + 1),
        found_by=MISLABELLED.stop + LABELS_LATE,
        kind="performance",
    ),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Images:
    """Images to draw a week's traffic from: which site and device style each is of, and what it shows."""

    site: np.ndarray
    is_new_scanner: np.ndarray
    label: np.ndarray
    """(N,) class names."""


def begin_of(week: int) -> datetime:
    """Return the first moment of a week, from 0."""
    return BEGINS + timedelta(weeks=week)


def drawn(images: Images, week: int) -> np.ndarray:
    """Return which images come in a week, as indices; each at most once a week."""
    chance = np.random.default_rng((7, week))
    found = [_of_site(images, site, week, chance) for site in SITES]
    return chance.permutation(np.concatenate(found))


def _of_site(images: Images, site: str, week: int, chance: np.random.Generator) -> np.ndarray:
    new = site == SCANNER_SITE and week >= SCANNER_FROM
    there = (images.site == site) & (images.is_new_scanner == new)
    share = WAVE_SHARE if week in WAVE else USUAL_SHARE
    ill = int(chance.binomial(A_WEEK, share))
    picked = []
    for state, count in ((True, ill), (False, A_WEEK - ill)):
        some = np.flatnonzero(there & ((images.label == WAVE_CLASS) == state))
        picked.append(chance.choice(some, min(count, len(some)), replace=False))
    return np.concatenate(picked)


def said(label: str, site: str, week: int) -> str:
    """Return what a reader of a site says of an image with this label, which may be wrong."""
    if site != MISLABELLED_SITE or week not in MISLABELLED:
        return label
    return SWAPPED.get(label, label)


SWAPPED: Mapping[str, str] = {"normal": WAVE_CLASS, WAVE_CLASS: "normal"}


def is_labelled(week: int, number: int) -> bool:
    """Tell whether the image with this number in its week ever gets a label."""
    return bool(np.random.default_rng((11, week, number)).random() < LABELLED_SHARE)
