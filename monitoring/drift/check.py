"""Whether the images and scores of the last window still look like those the model was measured on.

A figure has drifted when its PSI is above the plan's bound *and* beyond what sampling alone gives at these sizes, for
all figures, sites and manufacturers together; fewer different images than the plan asks for decide nothing. Beyond
chance but below the bound is a shift: told, and no ground for a retraining. What none of it sees: whether the answers
are still right. That takes labels.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from imaging.atomic import new_directory
from imaging.errors import ConfigurationError
from imaging.settings import Settings
from monitoring.change_control import DriftTrigger
from monitoring.drift.bins import Counts
from monitoring.drift.counting import connect, count, total
from monitoring.drift.embedding import MOST_ROWS, PERMUTATIONS, mmd_p_value
from monitoring.drift.findings import DriftResult, Part
from monitoring.drift.parts import Compared, judge_part
from monitoring.drift.reference import GROUPS, Reference, load_reference
from monitoring.drift.report import write_report
from monitoring.drift.window import Span, group_condition, log_files, log_source, open_window, sample_rows

UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
PAST = timedelta(days=90)
"""How far back a site that the reference lacks is compared with itself."""
PAST_ROWS = 2_000
MOST_GROUPS = 20
NEARLY_ALL = 0.95
"""A site that is the whole window is no part of it."""
WHOLE, EMBEDDING, IN_PARTS = 2, 1, 1
"""How the chance of a false alarm is shared out."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Looked:
    """A window, counted."""

    counts: Mapping[tuple[str, ...], Counts]
    refused: int
    past: Mapping[tuple[str, str], dict[str, np.ndarray]]
    """Bins of earlier images by site or manufacturer, where the reference holds too few of it."""
    embedding: np.ndarray
    """(N, D) of up to `MOST_ROWS` images."""


def run_drift(
    settings: Settings,
    *,
    window: str | None,
    package: Path,
    out: Path,
    trigger: DriftTrigger,
    model_digest: str | None = None,
    until: datetime | None = None,
) -> DriftResult:
    """Compare the logged requests of the last window with the package's reference; write `out` whole or not at all.

    Args:
        settings: Where the prediction log is.
        window: For example 7d, 12h or 30m; the plan's where absent.
        package: The model directory that serves.
        out: Gets drift.html, drift.json and Evidently's own evidently.html and evidently.json.
        trigger: The plan's bound, sample sizes and watched figures.
        model_digest: Only requests that this model answered count; all where absent.
        until: The end of the window; now where absent.

    Raises:
        ConfigurationError: for a window that is none.
        ModelPackageError: for a package without a reference profile.
    """
    end = until or datetime.now(UTC)
    span = Span(since=end - duration(window or trigger.window), until=until, model_digest=model_digest)
    reference = load_reference(package)
    looked = _look(settings.home / "predictions" / "parquet", reference, package, span, trigger)
    with new_directory(out) as folder:
        result = _judge(reference, looked, trigger, out)
        write_report(result, trigger, folder, since=_text(span.since), model_digest=model_digest)
    return result


def duration(text: str) -> timedelta:
    """Parse a window: a number and m, h, d or w."""
    found = re.fullmatch(r"([0-9]{1,5})([mhdw])", text)
    if not found or not int(found[1]):
        raise ConfigurationError(f"no window {text!r}: write a number and m, h, d or w, as in 7d or 12h")
    return timedelta(**{UNITS[found[2]]: int(found[1])})


def _text(moment: datetime | None) -> str:
    return moment.isoformat(timespec="seconds") if moment else ""


def _look(log: Path, reference: Reference, package: Path, span: Span, trigger: DriftTrigger) -> Looked:
    figures = list(reference.bins)
    with connect() as connection:
        refused = open_window(connection, log_files(log, span), span, package, name="now")
        counts = count(connection, log_source("now", figures), reference.bins, by=GROUPS)
        strangers = [
            group for group in _groups(counts, trigger) if reference.of_group(*group).sum() < trigger.minimum_reference
        ]
        past = {}
        if strangers and span.since:
            before = Span(since=span.since - PAST, until=span.since, model_digest=span.model_digest)
            open_window(connection, log_files(log, before), before, package, name="past")
            for column, value in strangers:
                rows = sample_rows(connection, "past", figures, most=PAST_ROWS, where=group_condition(column, value))
                past[column, value] = {name: reference.bins[name].place(rows[name]) for name in figures}
        coordinates = reference.coordinates
        found = sample_rows(connection, "now", coordinates, most=MOST_ROWS) if coordinates else {}
    embedding = np.stack([found[name] for name in coordinates], axis=1) if coordinates else np.empty((0, 0))
    return Looked(counts=counts, refused=refused, past=past, embedding=embedding[np.isfinite(embedding).all(axis=1)])


def _groups(counts: Mapping[tuple[str, ...], Counts], trigger: DriftTrigger) -> list[tuple[str, str]]:
    """Return the sites and manufacturers with enough images to be looked at by themselves, the largest first."""
    everything = sum(one.rows for one in counts.values())
    found = []
    for place, column in enumerate(GROUPS):
        sizes: dict[str, int] = {}
        for key, one in counts.items():
            sizes[key[place]] = sizes.get(key[place], 0) + one.rows
        large = sorted(((rows, value) for value, rows in sizes.items() if value), reverse=True)
        found += [
            (column, value)
            for rows, value in large[:MOST_GROUPS]
            if trigger.minimum_sample <= rows < NEARLY_ALL * everything
        ]
    return found


def _judge(reference: Reference, looked: Looked, trigger: DriftTrigger, out: Path) -> DriftResult:
    whole = total(list(looked.counts.values()), reference.bins)
    enough = whole.rows >= trigger.minimum_sample and len(reference) >= trigger.minimum_reference
    groups = _groups(looked.counts, trigger) if enough else []
    has_embedding = len(looked.embedding) >= trigger.minimum_sample and enough
    chance = (1 - trigger.noise_level) / (WHOLE + EMBEDDING * has_embedding + IN_PARTS * bool(groups))
    parts: list[Part] = []
    if whole.rows and reference.bins:
        compared = Compared(codes=reference.codes(), against="the model's reference")
        parts.append(judge_part(reference, compared, whole, trigger, chance=WHOLE * chance))
    for column, value in groups:
        own = [one for key, one in looked.counts.items() if key[GROUPS.index(column)] == value]
        counts = total(own, reference.bins)
        compared = _compared_with(reference, looked, column, value, trigger)
        parts.append(
            judge_part(
                reference, compared, counts, trigger, chance=IN_PARTS * chance / len(groups), group=(column, value)
            )
        )
    p_value = None
    if has_embedding:
        known = reference.frame[reference.coordinates].dropna().to_numpy(dtype=np.float64)
        p_value = mmd_p_value(known, looked.embedding, permutations=PERMUTATIONS)
    moved = p_value is not None and p_value <= EMBEDDING * chance
    return _summed_up(parts, reference, looked, trigger, out, whole.rows, enough=enough, embedding=(p_value, moved))


def _compared_with(reference: Reference, looked: Looked, column: str, value: str, trigger: DriftTrigger) -> Compared:
    """Return what a site is compared with: the reference's images of it, else its own past, else all."""
    own = reference.of_group(column, value)
    if own.sum() >= trigger.minimum_reference:
        return Compared(codes=reference.codes(own), against=f"the reference's images of this {column}")
    past = looked.past.get((column, value), {})
    if past and len(next(iter(past.values()))) >= trigger.minimum_reference:
        return Compared(codes=past, against=f"this {column}'s own images of the {PAST.days} days before")
    return Compared(codes=reference.codes(), against=f"the whole reference, which holds too few of this {column}")


def _summed_up(
    parts: Sequence[Part],
    reference: Reference,
    looked: Looked,
    trigger: DriftTrigger,
    out: Path,
    rows: int,
    *,
    enough: bool,
    embedding: tuple[float | None, bool],
) -> DriftResult:
    watched = [(part, one) for part in parts for one in part.figures if one.watched]
    above = [(part, one) for part, one in watched if one.state in ("above", "drifted")]
    told = [(part, one) for part, one in watched if not part.column] + [pair for pair in above if pair[0].column]
    shifted = [
        part.name_of(one) for part in parts for one in part.figures if enough and one.state in ("shifted", "drifted")
    ]
    shifted += [f"combined ({part.label})" for part in parts if enough and part.score > part.score_noise]
    return DriftResult(
        drifted=enough and any(one.state == "drifted" for _, one in above),
        scores={part.name_of(one): one.psi for part, one in told},
        noise={part.name_of(one): one.noise for part, one in told},
        above=tuple(part.name_of(one) for part, one in above),
        rows=rows,
        reference_rows=len(reference),
        refused=looked.refused,
        enough=enough,
        html=out / "drift.html",
        json=out / "drift.json",
        shifted=(*shifted, *(["embedding"] if embedding[1] else [])),
        parts=tuple(parts),
        embedding_p_value=embedding[0],
        not_known=_strangers(reference, looked, trigger),
    )


def _strangers(reference: Reference, looked: Looked, trigger: DriftTrigger) -> tuple[str, ...]:
    """Name the sites and manufacturers that the reference tells apart and holds none of."""
    telling = [column for column in GROUPS if column in reference.bins]
    return tuple(
        f"{column} {value}"
        for column, value in _groups(looked.counts, trigger)
        if column in telling and not reference.of_group(column, value).any()
    )
