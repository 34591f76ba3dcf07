"""The answers of a span beside their labels: each image once, whichever of its requests the label names."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from monitoring.drift.counting import connect, quoted
from monitoring.drift.window import Span, log_files, open_window
from monitoring.truth.labels import Label

NO_LABEL = -1


@dataclass(frozen=True, kw_only=True, slots=True)
class Answers:
    """N answered images in order of time.

    Attributes:
        request_id: (N,) of the request that the label names, else of the first.
        time: (N,) datetime64 in UTC.
        site: (N,) text, "" where unknown.
        probabilities: (N, C) calibrated.
        label: (N,) class index; `NO_LABEL` where none is known, or it is disputed or no class of the model.
        received: (N,) when the label came, ISO 8601; "" without.
        disputed: How many labels are left out because readers disagree.
        unusable: How many name no class of the model.
        unknown: How many labels name no answer of the span.
    """

    request_id: np.ndarray
    time: np.ndarray
    site: np.ndarray
    probabilities: np.ndarray
    label: np.ndarray
    received: np.ndarray
    disputed: int
    unusable: int
    unknown: int

    def __len__(self) -> int:
        return len(self.label)

    @property
    def labelled(self) -> np.ndarray:
        """Which have a label (N,)."""
        return np.asarray(self.label != NO_LABEL)

    def of(self, rows: np.ndarray) -> "Answers":
        """Return some of them, by a mask or their places."""
        fields = ("request_id", "time", "site", "probabilities", "label", "received")
        chosen: dict[str, Any] = {name: getattr(self, name)[rows] for name in fields}
        return replace(self, **chosen)


def load_answers(log: Path, package: Path, span: Span, labels: Mapping[str, Label], classes: Sequence[str]) -> Answers:
    """Read the answers of a span from the prediction log, and put the labels beside them."""
    scores = ", ".join(f"scores[{quoted(name)}] AS p{index}" for index, name in enumerate(classes))
    image = "coalesce(nullif(image_sha256, ''), request_id)"
    query = (
        f"SELECT request_id, {image} AS image, (try_cast(time AS TIMESTAMPTZ) AT TIME ZONE 'UTC') AS time, "  # noqa: S608
        f"coalesce(site, '') AS site, {scores} FROM now_answered ORDER BY time, request_id"
    )
    with connect() as connection:
        open_window(connection, log_files(log, span), span, package, name="now")
        rows = connection.execute(query).df()
    rows["label"] = rows["request_id"].map(lambda one: labels[one].label if one in labels else None)
    rows["received"] = rows["request_id"].map(lambda one: labels[one].received if one in labels else "")
    rows["has"] = rows["request_id"].isin(list(labels))
    known = set(rows.loc[rows["has"], "request_id"])
    rows = rows.sort_values("has", ascending=False, kind="stable").drop_duplicates("image").sort_values("time")
    index = {name: place for place, name in enumerate(classes)}
    place = rows["label"].map(lambda one: index.get(one, NO_LABEL) if one else NO_LABEL).to_numpy(dtype=np.int64)
    named = rows["label"].fillna("").to_numpy()
    return Answers(
        request_id=rows["request_id"].to_numpy(),
        time=rows["time"].to_numpy(),
        site=rows["site"].to_numpy(),
        probabilities=rows[[f"p{i}" for i in range(len(classes))]].to_numpy(dtype=np.float64),
        label=place,
        received=rows["received"].to_numpy(),
        disputed=sum(1 for one in known if labels[one].state == "disputed"),
        unusable=int(((place == NO_LABEL) & (named != "")).sum()),
        unknown=len(labels) - len(known),
    )
