"""The bins in which a figure is counted: fixed by the model's own reference, the same for every window and every part.

Counts in fixed bins add up: those of two parts of a log are the counts of the whole. Ten bins of equal share, because a
single outlier stretches equal widths until everything else lies in one of them.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Self

import numpy as np

SHARES = 10
"""Bins of a figure of many values; the usual deciles of the population stability index."""
FEW_VALUES = 20
"""Up to this many different values, each is its own bin."""
MOST_CATEGORIES = 20
DECIMALS = 6
"""Reference values are compared rounded: a log keeps text, a reference may keep float32."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NumberBins:
    """Bins of a number: bin k holds what is above edge k - 1 and not above edge k.

    Attributes:
        edges: (K - 1,) ascending, between values of the reference and never on one.
        centres: (K,) mean reference value in each bin.
        deviation: Standard deviation of the reference, in the figure's unit.
    """

    edges: np.ndarray
    centres: np.ndarray
    deviation: float

    @classmethod
    def of(cls, reference: np.ndarray, *, shares: int = SHARES) -> Self:
        """Lay `shares` bins of about equal share over the reference values (M,), M > 0, without NaN."""
        values, counts = np.unique(np.round(reference.astype(np.float64), DECIMALS), return_counts=True)
        between = (values[:-1] + values[1:]) / 2
        if len(values) > FEW_VALUES:
            below = np.cumsum(counts)[:-1] / counts.sum()
            wanted = np.arange(1, shares) / shares
            after = np.searchsorted(below, wanted).clip(1, len(below) - 1)
            nearest = after - (wanted - below[after - 1] <= below[after] - wanted)
            between = between[np.unique(nearest)]
        places = np.searchsorted(between, values, side="left")
        weight = np.bincount(places, weights=counts, minlength=len(between) + 1)
        total = np.bincount(places, weights=counts * values, minlength=len(between) + 1)
        return cls(edges=between, centres=total / weight, deviation=float(np.std(reference)))

    @property
    def count(self) -> int:
        """How many bins there are."""
        return len(self.edges) + 1

    def place(self, values: Sequence[Any] | np.ndarray) -> np.ndarray:
        """Return the bin of each value, (N,) int64; -1 where it is absent or no number."""
        numbers = np.asarray(values, dtype=np.float64)
        return np.where(np.isfinite(numbers), np.searchsorted(self.edges, numbers, side="left"), -1)

    @property
    def names(self) -> list[str]:
        """Return each bin's range, to be read."""
        ends = ["", *(f"{edge:.4g}" for edge in self.edges), ""]
        return [f"≤ {b}" if not a else f"> {a}" if not b else f"{a} to {b}" for a, b in pairwise(ends)]


@dataclass(frozen=True, kw_only=True, slots=True)
class CategoryBins:
    """Bins of a word: one each for the reference's most frequent, and a last one for every other."""

    values: tuple[str, ...]

    @classmethod
    def of(cls, reference: Sequence[str]) -> Self:
        """Give the most frequent words of the reference their own bin."""
        frequent = Counter(reference).most_common(MOST_CATEGORIES)
        return cls(values=tuple(sorted(word for word, _ in frequent)))

    @property
    def count(self) -> int:
        """How many bins there are."""
        return len(self.values) + 1

    def place(self, values: Sequence[Any] | np.ndarray) -> np.ndarray:
        """Return the bin of each word, (N,) int64; -1 where there is none."""
        known = {word: index for index, word in enumerate(self.values)}
        return np.array([known.get(str(word), len(known)) if word else -1 for word in values], dtype=np.int64)

    @property
    def names(self) -> list[str]:
        """Return each bin's word."""
        return [*self.values, "another"]


Bins = NumberBins | CategoryBins


@dataclass(frozen=True, kw_only=True, slots=True)
class Counts:
    """How many rows fell in each bin of each figure; rows without the figure are in no bin.

    Attributes:
        bins: By figure (K,) int64.
        rows: Rows looked at.
    """

    bins: Mapping[str, np.ndarray]
    rows: int

    def __add__(self, other: "Counts") -> "Counts":
        """Return the counts of both parts together.

        Raises:
            ValueError: for counts of other figures or bins.
        """
        if {name: len(row) for name, row in self.bins.items()} != {name: len(row) for name, row in other.bins.items()}:
            raise ValueError("counts in different bins do not add up")
        return Counts(
            bins={name: row + other.bins[name] for name, row in self.bins.items()}, rows=self.rows + other.rows
        )

    def to_json(self) -> str:
        """Return text that `from_json` reads: what a part of a log hands to whoever merges the parts."""
        return json.dumps({"rows": self.rows, "bins": {name: row.tolist() for name, row in self.bins.items()}})

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read `to_json`'s text."""
        document = json.loads(text)
        return cls(
            rows=int(document["rows"]),
            bins={name: np.array(row, dtype=np.int64) for name, row in document["bins"].items()},
        )


def count_codes(codes: Mapping[str, np.ndarray], bins: Mapping[str, Bins]) -> Counts:
    """Count places (N,) as `Bins.place` gives them, by figure."""
    rows = max((len(places) for places in codes.values()), default=0)
    return Counts(
        bins={name: np.bincount(places[places >= 0], minlength=bins[name].count) for name, places in codes.items()},
        rows=rows,
    )
