"""Two versions on the same images, from the answers that the new one gave in shadow: `thorax release compare`.

Agreement with its interval by Wilson (1927), Cohen's kappa (1960) with its interval by resampling images, and the
shift of the scores. Whether either is right is not told here: nobody has looked at the images yet.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from imaging.errors import NotFoundError
from serving.release.evidence import Pair, Row, distance, paired

RESAMPLES = 2000
Z_95 = 1.959963984540054


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """What the same images got from both versions.

    Attributes:
        images: Different images that both answered.
        agreement: Share that both gave the same class.
        kappa: Agreement beyond chance; None where one version named a single class throughout, which leaves none.
        score_shift: Mean total variation distance, 0 to 1.
        table: Rows the serving version's class, columns the new one's, counts.
        scores: By class, both versions' probabilities (images, 2): serving, new.
    """

    serving: str
    new: str
    images: int
    classes: tuple[str, ...]
    agreement: Estimate
    kappa: Estimate | None
    score_shift: Estimate
    table: tuple[tuple[int, ...], ...]
    scores: dict[str, npt.NDArray[np.float64]]

    def to_json(self) -> dict[str, Any]:
        """Return everything but the single scores."""
        estimates = {
            name: None if one is None else {"value": one.value, "low": one.low, "high": one.high}
            for name, one in (("agreement", self.agreement), ("kappa", self.kappa), ("score_shift", self.score_shift))
        }
        counts = {"serving": self.serving, "new": self.new, "images": self.images, "classes": list(self.classes)}
        return counts | estimates | {"table": [list(row) for row in self.table]}


def compare(rows: Sequence[Row], *, serving: tuple[str, str], new: tuple[str, str], seed: int = 0) -> Comparison:
    """Compare two versions on what both answered.

    Args:
        rows: Of the prediction log.
        serving: Version and digest of the one whose answers were sent.
        new: Of the one in shadow.
        seed: Of the resampling.

    Raises:
        NotFoundError: no image was answered by both.
    """
    shadow = [row for row in rows if row.get("model_digest") == new[1] and row.get("stage") == "shadow"]
    pairs = paired(shadow, (row for row in rows if row.get("model_digest") == serving[1]))
    if not pairs:
        raise NotFoundError(f"no image has been answered by version {serving[0]} and, in shadow, by version {new[0]}")
    classes = tuple(sorted({str(name) for pair in pairs for row in pair for name in row["scores"]}))
    places = _places(pairs, classes)
    shifts = np.array([distance(ours["scores"], theirs["scores"]) for ours, theirs in pairs])
    table = _counts(places, len(classes))
    drawn = (
        np.random.default_rng(seed)
        .multinomial(len(pairs), table.ravel() / len(pairs), size=RESAMPLES)
        .reshape(RESAMPLES, *table.shape)
    )
    return Comparison(
        serving=serving[0],
        new=new[0],
        images=len(pairs),
        classes=classes,
        agreement=_wilson(int(np.trace(table)), len(pairs)),
        kappa=_kappa_with_interval(table, drawn),
        score_shift=_mean_with_interval(shifts),
        table=tuple(tuple(int(count) for count in row) for row in table),
        scores={
            name: np.array([[old["scores"].get(name, 0.0), ours["scores"].get(name, 0.0)] for ours, old in pairs])
            for name in classes
        },
    )


def draw_comparison(found: Comparison) -> bytes:
    """Draw each class's probability by both versions, an image a dot, as PNG."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from imaging.evaluation.plots import COLOURS, GREY, STYLE

    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(1.0 + 3.2 * len(found.classes), 4.0), layout="constrained")
        FigureCanvasAgg(figure)
        for axes, name in zip(np.atleast_1d(figure.subplots(1, len(found.classes))), found.classes, strict=True):
            old, ours = found.scores[name].T
            axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.8)
            axes.scatter(old, ours, s=14, alpha=0.5, color=COLOURS[0], linewidths=0)
            axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal", title=name)
            axes.set_xlabel(f"version {found.serving}, serving")
            axes.set_ylabel(f"version {found.new}, shadow")
        one = found.agreement
        figure.suptitle(
            f"probability of each class, {found.images} images; "
            f"same class for {one.value:.0%} ({one.low:.0%} to {one.high:.0%})",
            fontsize=10,
        )
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def _places(pairs: Sequence[Pair], classes: tuple[str, ...]) -> npt.NDArray[np.int64]:
    """Return the place of each image's class by both versions (images, 2): serving, new."""
    named = [[classes.index(max(row["scores"], key=row["scores"].get)) for row in (old, new)] for new, old in pairs]
    return np.array(named, dtype=np.int64)


def _counts(places: npt.NDArray[np.int64], classes: int) -> npt.NDArray[np.int64]:
    counts = np.bincount(places[:, 0] * classes + places[:, 1], minlength=classes * classes)
    return counts.reshape(classes, classes)


def _kappa(table: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return Cohen's kappa of tables (..., C, C); NaN where chance alone agrees throughout."""
    total = table.sum((-2, -1))
    observed = np.trace(table, axis1=-2, axis2=-1) / total
    chance = (table.sum(-1) * table.sum(-2)).sum(-1) / total**2
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(chance < 1, (observed - chance) / (1 - chance), np.nan)


def _kappa_with_interval(table: npt.NDArray[np.int64], drawn: npt.NDArray[np.int64]) -> Estimate | None:
    value, spread = float(_kappa(table)), _kappa(drawn)
    spread = spread[~np.isnan(spread)]
    if np.isnan(value) or not len(spread):
        return None
    low, high = np.percentile(spread, (2.5, 97.5))
    return Estimate(value=value, low=float(low), high=float(high))


def _mean_with_interval(values: npt.NDArray[np.float64]) -> Estimate:
    error = Z_95 * float(values.std(ddof=1)) / np.sqrt(len(values)) if len(values) > 1 else 0.0
    mean = float(values.mean())
    return Estimate(value=mean, low=max(0.0, mean - error), high=min(1.0, mean + error))


def _wilson(found: int, of: int) -> Estimate:
    share = found / of
    middle = (share + Z_95**2 / (2 * of)) / (1 + Z_95**2 / of)
    half = Z_95 * np.sqrt(share * (1 - share) / of + Z_95**2 / (4 * of * of)) / (1 + Z_95**2 / of)
    return Estimate(value=share, low=float(min(share, max(0.0, middle - half))), high=float(max(share, middle + half)))
