"""Which images to ask a radiologist about: where a label teaches most, and a random share that keeps it honest.

Labels of uncertain images alone say nothing of the model's rate of errors; the control share, drawn by the image's
digest and by nothing else, does. Images with a label are left out.
"""

import csv
import io
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from monitoring.drift.counting import connect, quoted
from monitoring.drift.window import Span, log_files, open_window

Why = Literal["control", "disagrees with the shadow", "unlike the training images", "uncertain"]
SHARES: tuple[tuple[Why, float], ...] = (
    ("control", 0.3),
    ("disagrees with the shadow", 0.2),
    ("unlike the training images", 0.2),
    ("uncertain", 0.3),
)
"""Of the queue, in the order in which an image is taken; what one share cannot fill goes to the next."""
COLUMNS = ("request_id", "image_sha256", "time", "site", "prediction", "confidence", "why")


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """One image to be labelled."""

    request_id: str
    image_sha256: str
    time: str
    site: str
    prediction: str
    confidence: float
    why: Why

    def to_json(self) -> dict[str, Any]:
        """Return it as a row."""
        return {name: getattr(self, name) for name in COLUMNS}


def label_queue(log: Path, package: Path, span: Span, *, labelled: Collection[str], most: int) -> list[Asked]:
    """Choose up to `most` images of the span; the same span gives the same queue.

    Args:
        log: The prediction log's Parquet folder.
        package: The model directory that serves.
        span: Of time, and of the model's digest.
        labelled: Requests that have a label.
        most: How many images.
    """
    rows = _candidates(log, package, span, labelled)
    orders = {
        "control": lambda row: row["lot"],
        "disagrees with the shadow": lambda row: (not row["disagrees"], row["lot"]),
        "unlike the training images": lambda row: (-(row["novelty"] or 0.0), row["lot"]),
        "uncertain": lambda row: (row["confidence"], row["lot"]),
    }
    allowed = {
        "disagrees with the shadow": lambda row: row["disagrees"],
        "unlike the training images": lambda row: "out_of_distribution" in (row["reasons"] or []),
    }
    taken: dict[str, Asked] = {}
    carried = 0.0
    for why, part in SHARES:
        quota = most * part + carried
        left = [row for row in rows if row["request_id"] not in taken and allowed.get(why, _any)(row)]
        chosen = sorted(left, key=orders[why])[: min(round(quota), most - len(taken))]
        taken |= {row["request_id"]: _asked(row, why) for row in chosen}
        carried = quota - len(chosen)
    return sorted(taken.values(), key=lambda one: (one.time, one.request_id))


def to_csv(queue: Sequence[Asked]) -> str:
    """Return the queue as a table."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(one.to_json() for one in queue)
    return buffer.getvalue()


def _any(_row: dict[str, Any]) -> bool:
    return True


def _candidates(log: Path, package: Path, span: Span, labelled: Collection[str]) -> list[dict[str, Any]]:
    """Return the images of the span, each with whether a version in shadow called it something else."""
    others = Span(since=span.since, until=span.until)
    named = ", ".join(map(quoted, sorted(labelled))) or "''"
    digest = "" if span.model_digest is None else f"WHERE model_digest <> {quoted(span.model_digest)}"
    query = f"""
        WITH shadow AS (SELECT DISTINCT image_sha256, prediction FROM every_answered {digest}),
        labelled AS (SELECT DISTINCT image_sha256 FROM now_answered WHERE request_id IN ({named}))
        SELECT request_id, coalesce(image_sha256, '') AS image_sha256, coalesce(time, '') AS time,
            coalesce(site, '') AS site, coalesce(prediction, '') AS prediction,
            list_max(map_values(scores)) AS confidence, novelty, reasons,
            hash(coalesce(nullif(image_sha256, ''), request_id)) AS lot,
            EXISTS (SELECT 1 FROM shadow WHERE shadow.image_sha256 = now.image_sha256
                AND shadow.prediction <> now.prediction) AS disagrees
        FROM now
        WHERE request_id NOT IN ({named}) AND image_sha256 NOT IN (SELECT image_sha256 FROM labelled)
        ORDER BY lot
    """  # noqa: S608  # of fixed names, and of values by `quoted`
    with connect() as connection:
        open_window(connection, log_files(log, span), span, package, name="now")
        open_window(connection, log_files(log, others), others, package, name="every")
        found = connection.execute(query)
        names = [column[0] for column in found.description or []]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def _asked(row: dict[str, Any], why: Why) -> Asked:
    return Asked(
        request_id=str(row["request_id"]),
        image_sha256=str(row["image_sha256"]),
        time=str(row["time"]),
        site=str(row["site"]),
        prediction=str(row["prediction"]),
        confidence=round(float(row["confidence"] or 0.0), 4),
        why=why,
    )
