"""A proof that one request is in the prediction log as the audit record vouches for it, without the other requests.

The batch that the row came with is found by its file's name; its rows are read again, and the audit path of RFC 6962
leads from the row to the Merkle root in the batch's `prediction.logged` event. The proof holds the row, the path and
the event, so that who trusts the event, by an export of the record, needs nothing else.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from audit import AuditEvent, AuditLog
from imaging.errors import DataError, NotFoundError
from monitoring.merkle import audit_path, root_by_path
from monitoring.prediction_log import LEAVES
from monitoring.prediction_rows import canonical_line

FORMAT = "thorax-prediction-proof-1"
SUBJECT = "predictions/"


def prove(parquet: Path, log: AuditLog, request_id: str) -> list[dict[str, Any]]:
    """Return a proof for each row of a request: one for each version that answered it.

    Args:
        parquet: Folder of the prediction log.
        log: The audit record.
        request_id: As the answer has it.

    Raises:
        NotFoundError: no such request was collected, or its batch has no event that can be proved against.
        DataError: the log's files are not those that the record vouches for.
    """
    files = [path for path in _files(parquet, "*") if request_id in _ids(path)]
    found = [(path, row) for path in files for row in _rows(path) if row["request_id"] == request_id]
    if not found:
        raise NotFoundError("no such request in the prediction log; `thorax monitor collect` moves new ones there")
    return [_prove_row(parquet, log, path.stem, row) for path, row in found]


def check_proof(proof: Mapping[str, Any], log: AuditLog) -> AuditEvent:
    """Return the event of the record that vouches for a proof's row.

    Raises:
        DataError: it is no proof, its row or path was changed, or the record has no such event.
    """
    try:
        row, path, claimed = proof["row"], [(side, str(other)) for side, other in proof["path"]], proof["event"]
        is_ours = proof["format"] == FORMAT and all(side in ("left", "right") for side, _ in path)
        root = root_by_path(canonical_line(row), path) if is_ours else ""
        subject, sequence, digest = str(claimed["subject"]), int(claimed["seq"]), str(claimed["hash"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError("this is no proof as `thorax audit prove` writes it") from error
    if not is_ours:
        raise DataError("this is no proof as `thorax audit prove` writes it")
    for event in log.events(action="prediction.logged", subject=subject):
        if event.seq == sequence and event.hash == digest:
            if event.details.get("merkle_root") != root:
                raise DataError("the row and its path do not lead to the root in the record: one of them was changed")
            return event
    raise DataError(f"the record has no event {sequence} with the hash that the proof names")


def read_proof(path: Path) -> dict[str, Any]:
    """Return a proof from its file.

    Raises:
        DataError: it is no JSON object.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise NotFoundError(f"no file {path}") from error
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is no proof: it is not JSON") from error
    if not isinstance(found, dict):
        raise DataError(f"{path} is no proof as `thorax audit prove` writes it")
    return found


def _prove_row(parquet: Path, log: AuditLog, batch: str, row: dict[str, Any]) -> dict[str, Any]:
    event = _event_of(log, batch)
    leaves = sorted(canonical_line(one) for path in _files(parquet, batch) for one in _rows(path))
    leaf = canonical_line(row)
    path = audit_path(leaves, leaves.index(leaf))
    if event.details.get("merkle_root") != root_by_path(leaf, path) or event.details.get("rows") != len(leaves):
        raise DataError(f"the files of batch {batch} are not those that event {event.seq} of the record vouches for")
    named = {"seq": event.seq, "time": event.time, "subject": event.subject, "hash": event.hash}
    return {
        "format": FORMAT,
        "row": json.loads(leaf),
        "path": path,
        "root": event.details["merkle_root"],
        "event": named,
    }


def _event_of(log: AuditLog, batch: str) -> AuditEvent:
    events = log.events(action="prediction.logged", subject=f"{SUBJECT}{batch}")
    usable = [event for event in events if event.details.get("leaves") == LEAVES]
    if not usable:
        raise NotFoundError(f"the record holds no event of batch {batch} that a single row can be proved against")
    return usable[-1]


def _files(parquet: Path, batch: str) -> list[Path]:
    return sorted(parquet.glob(f"date=*/model_version=*/{batch}.parquet"))


def _ids(path: Path) -> set[str]:
    import pyarrow.parquet as pq

    return set(pq.ParquetFile(path).read(columns=["request_id"]).column(0).to_pylist())


def _rows(path: Path) -> list[dict[str, Any]]:
    import pyarrow.parquet as pq

    rows: list[dict[str, Any]] = pq.ParquetFile(path).read().to_pylist(maps_as_pydicts="lossy")
    return rows
