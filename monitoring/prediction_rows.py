"""The table a prediction-log row is kept in, and where: by date and model version."""

import json
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

TEXTS = (
    *("time", "request_id", "model_version", "model_digest", "stage", "image_sha256", "modality", "view"),
    *("manufacturer", "site", "prediction", "triage", "refusal_code", "media_type"),
)
NUMBERS = ("rows", "columns", "latency_ms", "novelty")
LATER = ("novelty", "embedding")
"""Columns that came later: a row without them has the text, and so the Merkle leaf, that it always had."""
MAPS = ("statistics", "scores")
SAFE = re.compile(r"[A-Za-z0-9._-]{1,64}")
DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


def schema() -> "pa.Schema":
    """Return the columns of the log; one schema for every file, whatever the model's classes."""
    import pyarrow as pa

    fields = [pa.field(name, pa.string()) for name in TEXTS]
    fields += [pa.field(name, pa.float64()) for name in NUMBERS]
    fields += [pa.field(name, pa.map_(pa.string(), pa.float64())) for name in MAPS]
    fields.append(pa.field("reasons", pa.list_(pa.string())))
    return pa.schema([*fields, pa.field("embedding", pa.list_(pa.float64()))])


def partition(row: Mapping[str, Any]) -> str:
    """Return the folder of a row: `date=…/model_version=…`, never a path from the row itself."""
    date = str(row.get("time", ""))[:10]
    version = str(row.get("model_version") or "none")
    safe_version = version if SAFE.fullmatch(version) and not version.startswith(".") else "other"
    return f"date={date if DATE.fullmatch(date) else 'unknown'}/model_version={safe_version}"


def to_table(rows: Iterable[Mapping[str, Any]]) -> "pa.Table":
    """Put spooled rows in a table; a value of another type than the column's is left out, the row stays."""
    import pyarrow as pa

    plain = [_plain(row) for row in rows]
    return pa.Table.from_pylist(plain, schema=schema())


def canonical_line(row: Mapping[str, Any]) -> bytes:
    """Return the text of a row that the batch's Merkle root is made of: the same of a spooled row and of a kept one."""
    plain = _plain(row)
    kept = plain | {name: dict(plain[name]) for name in MAPS}
    kept = {name: value for name, value in kept.items() if name not in LATER or value not in (None, [])}
    return json.dumps(kept, sort_keys=True, separators=(",", ":")).encode()


def date_of(path: Path) -> str:
    """Return the date of a log file, from its folder; empty where unknown."""
    date = path.parent.parent.name.removeprefix("date=")
    return date if DATE.fullmatch(date) else ""


def moment(text: str) -> datetime | None:
    """Parse a row's time; none where it is no UTC or offset time."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else None


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {name: _text(row.get(name)) for name in TEXTS}
    found |= {name: _number(row.get(name)) for name in NUMBERS}
    for name in MAPS:
        values = row.get(name)
        found[name] = (
            [(str(key), number) for key, value in values.items() if (number := _number(value)) is not None]
            if isinstance(values, Mapping)
            else []
        )
    reasons, embedding = row.get("reasons"), row.get("embedding")
    found["reasons"] = [str(reason) for reason in reasons] if isinstance(reasons, (list, tuple)) else []
    coordinates = [_number(value) for value in embedding] if isinstance(embedding, (list, tuple)) else []
    found["embedding"] = [] if None in coordinates else coordinates
    return found


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
