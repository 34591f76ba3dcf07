import os
import random
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from audit import AuditLog
from audit.predictions import PredictionSpool, spool_files
from monitoring.merkle import merkle_root
from monitoring.prediction_log import collect, read_log
from monitoring.prediction_rows import partition, to_table
from tests.monitoring.conftest import DIGEST, NOW, prediction_row

ROOT = Path(__file__).resolve().parents[2]
COLLECTOR = """
import sys
from pathlib import Path
from monitoring import prediction_log
prediction_log.LARGEST_BATCH = 4096
print("ready", flush=True)
prediction_log.collect(Path(sys.argv[1]), Path(sys.argv[2]))
"""


def spooled(spool: Path, rows: list[dict]) -> PredictionSpool:
    writer = PredictionSpool(spool)
    for row in rows:
        assert writer.append(row)
    return writer


def test_rows_come_back_as_they_were_spooled(tmp_path: Path) -> None:
    row = prediction_row(0, reasons=["low_confidence"])
    spooled(tmp_path / "spool", [row])
    assert collect(tmp_path / "spool", tmp_path / "log").rows == 1
    found = read_log(tmp_path / "log")
    assert found == [{**row, "stage": None, "novelty": None, "embedding": []}]


def test_the_log_is_partitioned_by_date_and_model_version(tmp_path: Path) -> None:
    rows = [
        prediction_row(0),
        prediction_row(1, model_version="4"),
        prediction_row(2, time="2026-11-19T00:00:00+00:00"),
        prediction_row(3, model_version=None, refusal_code="malformed_image", scores={}),
    ]
    spooled(tmp_path / "spool", rows)
    collect(tmp_path / "spool", tmp_path / "log")
    folders = {path.parent.relative_to(tmp_path / "log").as_posix() for path in (tmp_path / "log").rglob("*.parquet")}
    assert folders == {
        "date=2026-11-21/model_version=3",
        "date=2026-11-21/model_version=4",
        "date=2026-11-19/model_version=3",
        "date=2026-11-21/model_version=none",
    }


@given(st.text(), st.text())
def test_a_partition_never_leaves_the_log(time_text: str, version: str) -> None:
    date, folder = partition({"time": time_text, "model_version": version}).split("/")
    assert date.startswith("date=")
    assert folder.startswith("model_version=")
    assert ".." not in (date, folder.removeprefix("model_version="))


def test_a_request_that_was_spooled_twice_is_read_once_with_its_first_row(tmp_path: Path) -> None:
    first = spooled(tmp_path / "spool", [prediction_row(1, site="first"), prediction_row(1, site="again")])
    collect(tmp_path / "spool", tmp_path / "log")
    later = (NOW + timedelta(hours=1)).isoformat()
    first.append(prediction_row(1, site="later", time=later))
    collect(tmp_path / "spool", tmp_path / "log")
    assert [row["site"] for row in read_log(tmp_path / "log")] == ["first"]


def test_an_id_that_a_client_uses_again_costs_no_row(tmp_path: Path) -> None:
    rows = [prediction_row(index, request_id="mine") for index in range(3)]
    rows += [prediction_row(0, request_id="mine", model_digest="sha256:b"), rows[1]]
    spooled(tmp_path / "spool", rows)
    assert collect(tmp_path / "spool", tmp_path / "log").rows == 4
    assert len(read_log(tmp_path / "log")) == 4
    assert len(read_log(tmp_path / "log", model_digest=DIGEST)) == 3


def test_collecting_again_adds_nothing_and_follows_a_living_writer(tmp_path: Path) -> None:
    spool, log = tmp_path / "spool", tmp_path / "log"
    writer = spooled(spool, [prediction_row(index) for index in range(3)])
    assert collect(spool, log).rows == 3
    assert collect(spool, log).rows == 0
    writer.append(prediction_row(3))
    assert collect(spool, log).rows == 1
    assert len(spool_files(spool)) == 1
    writer.close()
    collect(spool, log)
    assert spool_files(spool) == []
    assert len(read_log(log)) == 4


def test_a_torn_last_line_is_left_until_it_is_whole(tmp_path: Path) -> None:
    spool, log = tmp_path / "spool", tmp_path / "log"
    writer = spooled(spool, [prediction_row(0)])
    path = spool_files(spool)[0]
    with path.open("ab") as file:
        file.write(b'{"request_id": "half')
    assert collect(spool, log).rows == 1
    with path.open("ab") as file:
        file.write(b'", "time": "2026-11-21T00:00:00+00:00"}\n')
    assert collect(spool, log).rows == 1
    assert {row["request_id"] for row in read_log(log)} == {"request-0", "half"}
    writer.close()


def test_a_kill_of_the_collector_at_any_moment_loses_and_doubles_nothing(tmp_path: Path) -> None:
    spool, log = tmp_path / "spool", tmp_path / "log"
    spooled(spool, [prediction_row(index) for index in range(120)]).close()
    chance = random.Random(1)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for _ in range(6):
        command = [sys.executable, "-c", COLLECTOR, str(spool), str(log)]
        killed = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment)
        assert killed.stdout is not None
        killed.stdout.readline()
        time.sleep(chance.uniform(0, 0.15))
        killed.send_signal(signal.SIGKILL)
        killed.communicate(timeout=60)
    collect(spool, log)
    assert sorted(row["request_id"] for row in read_log(log)) == sorted(f"request-{index}" for index in range(120))
    assert spool_files(spool) == []
    assert kept_rows(log) == 120


def kept_rows(log: Path) -> int:
    import pyarrow.parquet as pq

    return sum(pq.read_metadata(path).num_rows for path in log.rglob("*.parquet"))


def test_reading_takes_a_time_and_a_model(tmp_path: Path) -> None:
    rows = [prediction_row(0), prediction_row(600), prediction_row(3000), prediction_row(1, model_digest="sha256:b")]
    spooled(tmp_path / "spool", rows)
    collect(tmp_path / "spool", tmp_path / "log")
    found = read_log(tmp_path / "log", since=NOW - timedelta(hours=12), model_digest=DIGEST)
    assert [row["request_id"] for row in found] == ["request-600", "request-0"]


def test_each_batch_is_vouched_for_in_the_audit_record(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.delenv("THORAX_AUDIT_WITNESS", raising=False)
    audit = AuditLog(tmp_path / "audit")
    spooled(tmp_path / "spool", [prediction_row(index) for index in range(5)])
    collect(tmp_path / "spool", tmp_path / "log", log=audit)
    collect(tmp_path / "spool", tmp_path / "log", log=audit)
    (event,) = audit.events(action="prediction.logged")
    assert event.details["rows"] == 5
    assert event.details["merkle_root"].startswith("sha256:")


def test_a_value_of_the_wrong_type_does_not_cost_its_row() -> None:
    table = to_table([{"request_id": "a", "rows": "many", "scores": {"normal": "high", "covid": 1}, "reasons": None}])
    assert table.to_pylist(maps_as_pydicts="lossy")[0]["scores"] == {"covid": 1.0}
    assert table.column("rows").to_pylist() == [None]


def test_the_merkle_root_is_that_of_rfc_6962() -> None:
    # Test vectors of the Certificate Transparency project: the first leaves "", 00, 10, 20 21, ...
    leaves = [bytes.fromhex(text) for text in ("", "00", "10", "2021", "3031", "40414243")]
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert merkle_root([]) == f"sha256:{empty}"
    assert merkle_root(leaves[:1]) == "sha256:6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    assert merkle_root(leaves[:3]) == "sha256:aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77"
    assert merkle_root(leaves) == "sha256:76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef"
