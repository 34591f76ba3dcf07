"""What a step of a rollout has shown so far, from the prediction log, and whether it breaks a bound of the plan.

Shares are held against their bound by the lower end of their interval (Wilson 1927, one-sided 95 %) and from three
mishaps on, so that one among few requests is no breach, and a fault that every request meets is one at the third.
"""

import math
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from audit.predictions import parse_rows, request_key, spool_files
from serving.release.plan import Bounds, Step

MOST_ROWS = 20_000
"""The latest of a step; a fault shows in fewer."""
FAULTS = ("service_unavailable", "service_timeout", "not_released", "torchserve_", "edge_5")
"""Refusals that say something of the server and nothing of the image."""
OURS = ("smoke-",)
"""Requests that are the release's own begin with it."""
MISHAPS = 3
FOR_ANSWERED_SHARE = 20
FOR_LATENCY = 100
FOR_SCORES = 20
ONE_SIDED_95 = 1.6448536269514722

Row = Mapping[str, Any]
"""Of the prediction log."""
Pair = tuple[Row, Row]
"""The new version's answer and that of the one that serves, to one image."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """Counts over one step, of the new version and of the one that serves."""

    requests: int = 0
    """That the new version answered or refused."""
    others: int = 0
    """That the version that serves did."""
    errors: int = 0
    """Of `requests`: the new version's own faults; in shadow also what it refused and the other answered."""
    compared: int = 0
    """Different images that both answered, in shadow."""
    disagreed: int = 0
    """Of `compared`: named another class."""
    score_shift: float = 0.0
    """Mean total variation distance over `compared`."""
    p99_ms: float | None = None
    others_p99_ms: float | None = None

    def summary(self) -> dict[str, Any]:
        """Return what the record keeps of it."""
        names = ("requests", "others", "errors", "compared", "disagreed")
        counts: dict[str, Any] = {name: getattr(self, name) for name in names}
        return counts | {"score_shift": round(self.score_shift, 4), "p99_ms": self.p99_ms}


def read_rows(home: Path, since: float) -> list[dict[str, Any]]:
    """Return the latest rows of the prediction log, each request once.

    Args:
        home: The home folder, with the spool and what was taken from it to Parquet.
        since: Rows before it are left out; in seconds of the epoch.
    """
    begin = datetime.fromtimestamp(since, UTC)
    kept: dict[tuple[str, str, str], dict[str, Any]] = {}
    for row in (*_collected(home / "predictions" / "parquet", begin), *_spooled(home / "predictions" / "spool", begin)):
        kept.setdefault(request_key(row), row)
    return list(kept.values())[-MOST_ROWS:]


def weigh(rows: Iterable[Row], *, digest: str, serving: str, step: Step) -> Evidence:
    """Count what `rows` say of the package `digest` beside the one that serves.

    Args:
        rows: Of the prediction log, of this step.
        digest: The new version's package.
        serving: The package of the version that serves.
        step: Of which kind the step is.
    """
    asked = [row for row in rows if not str(row["request_id"]).startswith(OURS)]
    ours = [row for row in asked if row.get("model_digest") == digest and row.get("stage") == step.kind]
    others = [row for row in asked if row.get("model_digest") == serving]
    errors = sum(_is_fault(row) for row in ours)
    pairs: list[Pair] = []
    if step.kind == "shadow":
        pairs = paired(ours, others)
        answered = {_image_key(row) for row in others if row.get("scores")}
        refused = [row for row in ours if not row.get("scores") and not _is_fault(row)]
        errors += sum(_image_key(row) in answered for row in refused)
    shifts = [distance(new["scores"], old["scores"]) for new, old in pairs]
    return Evidence(
        requests=len(ours),
        others=len(others),
        errors=errors,
        compared=len(pairs),
        disagreed=sum(new.get("prediction") != old.get("prediction") for new, old in pairs),
        score_shift=sum(shifts) / len(shifts) if shifts else 0.0,
        p99_ms=_p99(ours),
        others_p99_ms=_p99(others),
    )


def paired(new: Iterable[Row], old: Iterable[Row]) -> list[Pair]:
    """Return both versions' answers to the same request, each image once: its last."""
    answered = {_image_key(row): row for row in old if row.get("scores")}
    both = [(row, answered[_image_key(row)]) for row in new if row.get("scores") and _image_key(row) in answered]
    return list({str(pair[0].get("image_sha256")): pair for pair in both}.values())


def distance(new: Mapping[str, float], old: Mapping[str, float]) -> float:
    """Return the total variation distance of two answers' probabilities, 0 to 1."""
    return sum(abs(new.get(name, 0.0) - old.get(name, 0.0)) for name in {*new, *old}) / 2


def breach(evidence: Evidence, bounds: Bounds, step: Step) -> str:
    """Return which bound is broken, with the figures; "" where none is."""
    share = step.share if step.kind == "canary" else 1.0
    sent = share * (evidence.requests + evidence.others) if step.kind == "canary" else evidence.others
    if sent >= FOR_ANSWERED_SHARE and evidence.requests < bounds.answered_share * sent:
        return f"it answered {evidence.requests} of some {sent:.0f} requests sent to it"
    if evidence.errors >= MISHAPS and at_least(evidence.errors, evidence.requests) > bounds.error_rate:
        return f"{evidence.errors} of {evidence.requests} requests failed (bound {bounds.error_rate:.1%})"
    if evidence.disagreed >= MISHAPS and at_least(evidence.disagreed, evidence.compared) > bounds.disagreement:
        named = f"{evidence.disagreed} of {evidence.compared} images"
        return f"it names another class for {named} (bound {bounds.disagreement:.0%})"
    if evidence.compared >= FOR_SCORES and evidence.score_shift > bounds.score_shift:
        return f"scores differ by {evidence.score_shift:.2f} on the mean (bound {bounds.score_shift:.2f})"
    if evidence.p99_ms and evidence.others_p99_ms and evidence.p99_ms > bounds.latency_ratio * evidence.others_p99_ms:
        took = f"{evidence.p99_ms:.0f} ms against {evidence.others_p99_ms:.0f} ms"
        return f"its 99th percentile is {took} (bound {bounds.latency_ratio:g} times)"
    return ""


def at_least(found: int, of: int) -> float:
    """Return the lower end of a share's one-sided 95 % interval (Wilson 1927); 0 where nothing was counted."""
    if of == 0:
        return 0.0
    z, share = ONE_SIDED_95, found / of
    centre = share + z * z / (2 * of)
    return max(0.0, (centre - z * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of))) / (1 + z * z / of))


def _image_key(row: Row) -> tuple[str, str]:
    return str(row["request_id"]), str(row.get("image_sha256") or "")


def _is_fault(row: Row) -> bool:
    return str(row.get("refusal_code") or "").startswith(FAULTS)


def _p99(rows: Sequence[Row]) -> float | None:
    """The 99th percentile of the handler's time for answered requests, in ms; None for too few."""
    times = sorted(float(row["latency_ms"]) for row in rows if row.get("scores") and row.get("latency_ms"))
    return times[math.ceil(0.99 * len(times)) - 1] if len(times) >= FOR_LATENCY else None


def _spooled(spool: Path, begin: datetime) -> Iterable[dict[str, Any]]:
    """Rows not collected yet; only those that are asked for are parsed, for a spool may be long."""
    first = b'{"time":"' + begin.isoformat(timespec="milliseconds").encode()
    for path in spool_files(spool):
        try:
            if path.stat().st_mtime < begin.timestamp():
                continue
            lines = deque((line for line in path.read_bytes().splitlines(keepends=True) if line >= first), MOST_ROWS)
        except FileNotFoundError:
            continue
        yield from parse_rows(b"".join(lines))


def _collected(parquet: Path, begin: datetime) -> Iterable[dict[str, Any]]:
    """Rows that a collector took meanwhile."""
    files = [path for path in parquet.glob("date=*/*/*.parquet") if path.stat().st_mtime >= begin.timestamp()]
    if not files:
        return
    import pyarrow.parquet as pq

    for path in files:
        for row in pq.ParquetFile(path).read().to_pylist(maps_as_pydicts="lossy"):
            if (row["time"] or "") >= begin.isoformat(timespec="milliseconds"):
                yield row
