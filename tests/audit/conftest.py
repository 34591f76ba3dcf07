"""A small real log, and the hands of somebody who may write to its database."""

import sqlite3
from pathlib import Path

import pytest

from audit import AuditLog
from audit.store import TRIGGERS


class Tamperer:
    """Edits the database behind the log's back, and puts its append-only rules back after."""

    def __init__(self, log: AuditLog) -> None:
        self.database = log.path / "audit.db"

    def run(self, *statements: str) -> None:
        connection = sqlite3.connect(self.database, isolation_level=None)
        for name in TRIGGERS:
            connection.execute(f"DROP TRIGGER IF EXISTS {name}")
        for statement in statements:
            connection.execute(statement)
        for trigger in TRIGGERS.values():
            connection.execute(trigger)
        connection.close()


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AuditLog:
    monkeypatch.delenv("THORAX_AUDIT_WITNESS", raising=False)
    return AuditLog(tmp_path / "audit")


@pytest.fixture
def full_log(log: AuditLog) -> AuditLog:
    fill(log, 6)
    return log


def fill(log: AuditLog, count: int) -> None:
    for index in range(count):
        log.append("run.started", actor="trainer", subject=f"run/{index}", details={"index": index, "ok": True})
