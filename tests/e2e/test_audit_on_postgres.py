"""The record as a cluster keeps it: rows in a real PostgreSQL, signed heads in a real bucket."""

import os
import random
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from audit import AuditError, AuditLog
from audit.postgres import RULES, schema
from audit.verification import Verification
from tests.audit.test_many_writers import WRITER
from tests.e2e.postgres_stand import Postgres, postgres_stand
from tests.s3_api import s3_api

pytestmark = [pytest.mark.e2e, pytest.mark.beside, pytest.mark.timeout(300)]
PORT = 21849
ROOT = Path(__file__).resolve().parents[2]
Ask = Callable[[str], "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with postgres_stand(PORT, "the record is looked at on SQLite alone") as stand:
        assert stand.ask("create role writer login password 'w'").returncode == 0
        yield stand


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder whose folders are buckets; the environment says how they are reached."""
    folder, home = tmp_path_factory.mktemp("buckets"), tmp_path_factory.mktemp("rclone")
    (folder / "thorax-audit").mkdir()
    with s3_api(folder, home) as settings, pytest.MonkeyPatch.context() as patch:
        patch.setenv("THORAX_AUDIT_S3_ENDPOINT", settings.s3_endpoint)
        patch.setenv("THORAX_AUDIT_S3_ACCESS_KEY", settings.s3_access_key)
        patch.setenv("THORAX_AUDIT_S3_SECRET_KEY", settings.s3_secret_key.get_secret_value())
        yield folder


@pytest.fixture
def place(postgres: Postgres, bucket: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A new database and a new prefix of the bucket, by which every log of the test is reached."""
    name = f"audit_{secrets.token_hex(4)}"
    assert postgres.ask(f"create database {name}").returncode == 0
    made = postgres.ask(schema(("writer",)), name)
    assert made.returncode == 0, made.stderr
    monkeypatch.setenv("THORAX_AUDIT_DATABASE", postgres.address(name, "writer", "w"))
    monkeypatch.setenv("THORAX_AUDIT_WITNESS", f"s3://thorax-audit/{name}")
    return name


@pytest.fixture
def ask(postgres: Postgres, place: str) -> Ask:
    """Run SQL as the database's owner."""
    return lambda text: postgres.ask(text, place)


@pytest.fixture
def log(place: str, tmp_path: Path) -> AuditLog:
    key = tmp_path / "key"
    key.mkdir()
    (key / "signing.key").write_text(secrets.token_hex(32) + "\n")
    key.chmod(0o500)
    return AuditLog(key)


def fill(log: AuditLog, count: int) -> None:
    for index in range(count):
        log.append("run.started", actor="trainer", subject=f"run/{index}", details={"name": "Zürich\u0000 %s ?"})


def around_the_rules(*statements: str) -> str:
    """Return SQL by which an owner gets round the rules and puts them back as they were."""
    off = [f"alter table events disable trigger {name};" for name in RULES]
    on = [f"alter table events enable always trigger {name};" for name in RULES]
    return "\n".join([*off, *(f"{statement};" for statement in statements), *on])


def start(log: AuditLog, name: str, count: int) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", WRITER, str(log.path), name, str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True)


def test_events_are_kept_read_verified_and_exported(log: AuditLog, tmp_path: Path) -> None:
    fill(log, 3)
    log.append("model.approved", actor="approver", subject="chest-xray/1")
    assert log.verify(every_signature=True) == log.verify() == Verification(ok=True, checked=4)
    assert [event.subject for event in log.events(action="model.approved", after=1)] == ["chest-xray/1"]
    assert log.events(limit=2)[0].details["name"] == "Zürich\u0000 %s ?"
    from audit.export import verify_export

    assert verify_export(log.export(tmp_path / "copy.jsonl"), public=log.witness.public_key()).result.checked == 4


def test_sixteen_writers_give_one_unbroken_chain(log: AuditLog) -> None:
    writers = [start(log, f"writer-{index}", 5) for index in range(16)]
    assert [writer.wait(timeout=120) for writer in writers if writer.communicate()] == [0] * 16
    assert log.verify() == Verification(ok=True, checked=80)
    for index in range(16):
        own = [event.subject for event in log.events() if event.actor == f"writer-{index}"]
        assert own == [f"run/{step}" for step in range(5)]


def test_a_killed_writer_leaves_a_log_that_holds_and_goes_on(log: AuditLog) -> None:
    chance, told = random.Random(0), 0
    for _ in range(4):
        writer = start(log, "killed", 100000)
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(chance.uniform(0, 0.1))
        writer.send_signal(signal.SIGKILL)
        rest, _ = writer.communicate(timeout=60)
        told += 1 + sum(line.strip().isdigit() for line in rest.splitlines())
        assert log.verify().ok
        assert log.verify().checked >= told
    fill(log, 1)
    assert log.verify().ok


@pytest.mark.parametrize("statement", ["update events set actor = 'x'", "delete from events", "truncate events"])
def test_neither_a_writer_nor_the_owner_changes_a_record(
    log: AuditLog, postgres: Postgres, place: str, ask: Ask, statement: str
) -> None:
    import psycopg

    fill(log, 2)
    as_writer = psycopg.connect(postgres.address(place, "writer", "w"))
    with as_writer as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(statement)
    assert "append-only" in ask(statement).stderr
    assert log.verify() == Verification(ok=True, checked=2)


def test_a_writer_can_put_a_record_nowhere_but_at_the_end(log: AuditLog, postgres: Postgres, place: str) -> None:
    import psycopg

    fill(log, 3)
    columns = "time, actor, action, subject, details, previous_hash, hash, signature"
    for seq in (3, 4, 9):
        as_writer = psycopg.connect(postgres.address(place, "writer", "w"))
        with as_writer, pytest.raises((psycopg.errors.RaiseException, psycopg.errors.UniqueViolation)):
            as_writer.execute(f"insert into events select {seq}, {columns} from events where seq = 2")
    assert log.verify().ok


@pytest.mark.parametrize(
    ("statement", "first_bad"),
    [
        ("update events set details = details || ' ' where seq = 4", 4),
        ("update events set signature = upper(signature) where seq = 2", 2),
        ("delete from events where seq = 3", 3),
        ("delete from events where seq > 4", 5),
        ("delete from events", 1),
    ],
)
def test_what_an_owner_does_behind_the_rules_is_found_and_named(
    log: AuditLog, ask: Ask, statement: str, first_bad: int
) -> None:
    fill(log, 6)
    assert ask(around_the_rules(statement)).returncode == 0
    found = log.verify()
    assert (found.ok, found.first_bad) == (False, first_bad), found


@pytest.mark.parametrize(
    "statement",
    [
        "drop trigger events_never_leave on events",
        "alter table events disable trigger events_never_change",
        "alter table events enable trigger events_only_follow",
        "create or replace function events_never_change() returns trigger language plpgsql as 'begin return new; end'",
    ],
)
def test_rules_that_are_gone_or_not_as_written_are_said(log: AuditLog, ask: Ask, statement: str) -> None:
    fill(log, 1)
    assert log.verify().ok
    assert ask(statement).returncode == 0
    assert "append-only rules" in (log.verify().problem or "")
    fill(log, 1)
    assert "append-only rules" in (log.verify().problem or "")


def test_a_head_taken_from_the_bucket_is_no_way_to_hide_a_cut_before_it(
    log: AuditLog, ask: Ask, bucket: Path, place: str
) -> None:
    fill(log, 5)
    next((bucket / "thorax-audit" / place / "heads").glob("*3-*")).unlink()
    assert ask(around_the_rules("delete from events where seq > 2")).returncode == 0
    assert log.verify().first_bad == 3


def test_a_foreign_head_in_the_bucket_is_said(log: AuditLog, bucket: Path, place: str) -> None:
    fill(log, 2)
    heads = bucket / "thorax-audit" / place / "heads"
    (heads / f"{9:015d}-{'0' * 64}-{'1' * 128}").write_text("{}")
    time.sleep(1.5)  # the server lists its folder anew each second
    assert "not a head signed by this log" in (log.verify().problem or "")


def test_another_key_cannot_go_on_with_a_log(log: AuditLog, tmp_path: Path) -> None:
    fill(log, 1)
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(AuditError, match=r"no signing\.key"):
        AuditLog(other).append("run.started", actor="x", subject="y")
    (other / "signing.key").write_text(secrets.token_hex(32))
    with pytest.raises(AuditError, match="put that key back"):
        AuditLog(other).append("run.started", actor="x", subject="y")
    assert log.verify() == Verification(ok=True, checked=1)


def test_a_bucket_that_is_away_stops_what_would_go_unwitnessed_and_says_nothing_about_the_record(
    log: AuditLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(log, 1)
    monkeypatch.setenv("THORAX_AUDIT_S3_ENDPOINT", "http://127.0.0.1:9")
    away = AuditLog(log.path)
    with pytest.raises(AuditError, match="EndpointConnectionError"):
        away.append("run.started", actor="x", subject="y")
    with pytest.raises(AuditError, match="EndpointConnectionError"):
        away.verify()
    assert log.verify() == Verification(ok=True, checked=1)


def test_a_database_that_is_away_or_empty_is_said_without_its_password(
    log: AuditLog, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THORAX_AUDIT_DATABASE", "postgresql://writer:{}@127.0.0.1:9/audit".format("hunter2"))
    with pytest.raises(AuditError, match="does not answer") as caught:
        fill(AuditLog(log.path), 1)
    assert "hunter2" not in str(caught.value)
    monkeypatch.setenv("THORAX_AUDIT_DATABASE", postgres.address("postgres", "writer", "w"))
    with pytest.raises(AuditError, match="thorax audit schema"):
        fill(AuditLog(log.path), 1)


def test_a_mounted_secret_is_all_that_a_log_needs(
    log: AuditLog, place: str, postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(log, 1)
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "signing.key").write_bytes((log.path / "signing.key").read_bytes())
    (secret / "database").write_text(postgres.address(place, "writer", "w") + "\n")
    for name in ("endpoint", "access_key", "secret_key"):
        (secret / name).write_text(os.environ[f"THORAX_AUDIT_S3_{name.upper()}"])
        monkeypatch.delenv(f"THORAX_AUDIT_S3_{name.upper()}")
    monkeypatch.delenv("THORAX_AUDIT_DATABASE")
    fill(AuditLog(secret), 1)
    assert AuditLog(secret).verify() == Verification(ok=True, checked=2)


def test_a_key_is_rotated_for_every_pod_by_its_secret(log: AuditLog, tmp_path: Path) -> None:
    fill(log, 2)
    following = tmp_path / "new.key"
    following.write_text(secrets.token_hex(32) + "\n")
    log.rotate_key(actor="administrator", following=following)
    with pytest.raises(AuditError, match="put that key back"):
        fill(log, 1)
    mounted = tmp_path / "mounted"
    mounted.mkdir()
    (mounted / "signing.key").write_text(following.read_text())
    fill(AuditLog(mounted), 1)
    assert log.verify(every_signature=True) == log.verify() == Verification(ok=True, checked=4)


def test_the_schema_can_be_given_again(log: AuditLog, ask: Ask) -> None:
    fill(log, 1)
    assert ask(schema(("writer",))).returncode == 0
    fill(log, 1)
    assert log.verify() == Verification(ok=True, checked=2)
    with pytest.raises(AuditError, match="no role's name"):
        schema(("writer; drop table events",))
