import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from audit.predictions import FIELDS, PredictionSpool, is_finished, parse_rows, read_spool, spool_files

ROOT = Path(__file__).resolve().parents[2]
KILLED = """
import os, signal, sys
from pathlib import Path
from audit.predictions import PredictionSpool
spool = PredictionSpool(Path(sys.argv[1]))
for index in range(50):
    spool.append({"request_id": f"r{index}", "scores": {"normal": 0.5}})
os.kill(os.getpid(), signal.SIGKILL)
"""


FULL = """
import json, resource, signal, sys
from pathlib import Path
from audit.predictions import PredictionSpool
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
_, most = resource.getrlimit(resource.RLIMIT_FSIZE)
spool = PredictionSpool(Path(sys.argv[1]), most_waiting=30)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, most))
taken = [spool.append({"request_id": f"r{index:02}", "scores": {"normal": 0.5}}) for index in range(60)]
during = {"taken": sum(taken), "waiting": spool.waiting, "lost": spool.lost}
resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
assert spool.append({"request_id": "last"})
print(json.dumps(during | {"after": [spool.waiting, spool.lost]}))
"""


def test_rows_that_a_full_disk_does_not_take_wait_for_it_and_what_is_lost_is_counted(tmp_path: Path) -> None:
    command = [sys.executable, "-c", FULL, str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True, timeout=60)
    told = json.loads(done.stdout)
    assert 10 < told["taken"] < 30
    assert (told["waiting"], told["lost"]) == (30, 60 - told["taken"] - 30)
    assert told["after"] == [0, told["lost"]]
    kept = [row["request_id"] for row in read_spool(tmp_path)]
    assert kept == [*(f"r{index:02}" for index in range(told["taken"] + 30)), "last"]


def test_rows_are_read_back_once_each(tmp_path: Path) -> None:
    first, second = PredictionSpool(tmp_path), PredictionSpool(tmp_path)
    for name in ("a", "b", "a"):
        assert first.append({"request_id": name, "scores": {"normal": 0.9}})
    assert second.append({"request_id": "b"})
    assert [row["request_id"] for row in read_spool(tmp_path)] == ["a", "b"]
    assert len(spool_files(tmp_path)) == 2


def test_an_id_that_a_client_uses_again_costs_no_row(tmp_path: Path) -> None:
    spool = PredictionSpool(tmp_path)
    asked = [("1", "sha256:a"), ("2", "sha256:a"), ("1", "sha256:b"), ("1", "sha256:a")]
    for image, model in asked:
        spool.append({"request_id": "mine", "image_sha256": image, "model_digest": model})
    assert [(row["image_sha256"], row["model_digest"]) for row in read_spool(tmp_path)] == asked[:3]


def test_only_the_fields_of_the_contract_are_kept(tmp_path: Path) -> None:
    PredictionSpool(tmp_path).append({"request_id": "a", "patient_id": "P1", "PatientName": "X", "view": "PA"})
    assert list(read_spool(tmp_path)) == [{"request_id": "a", "view": "PA"}]
    assert "patient_id" not in FIELDS


def test_a_row_that_cannot_be_kept_is_told_not_raised(tmp_path: Path) -> None:
    spool = PredictionSpool(tmp_path)
    assert not spool.append({"request_id": "a", "latency_ms": object()})
    assert not spool.append({"request_id": "a", "latency_ms": float("nan")})
    (tmp_path / "file").write_text("")
    assert not PredictionSpool(tmp_path / "file" / "spool").append({"request_id": "a"})
    assert list(read_spool(tmp_path)) == []


def test_a_kill_loses_no_row_that_was_appended(tmp_path: Path) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
        timeout=60,
    )
    assert killed.returncode == -signal.SIGKILL
    assert len(list(read_spool(tmp_path))) == 50
    assert is_finished(spool_files(tmp_path)[0])


def test_a_living_writers_file_is_not_finished(tmp_path: Path) -> None:
    spool = PredictionSpool(tmp_path)
    spool.append({"request_id": "a"})
    path = spool_files(tmp_path)[0]
    assert not is_finished(path)
    spool.close()
    assert is_finished(path)
    spool.append({"request_id": "b"})
    assert len(spool_files(tmp_path)) == 2


def test_threads_share_one_file_without_mixing_rows(tmp_path: Path) -> None:
    spool = PredictionSpool(tmp_path)
    threads = [
        threading.Thread(target=lambda n=n: [spool.append({"request_id": f"{n}-{i}"}) for i in range(50)])
        for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(spool_files(tmp_path)) == 1
    assert len(list(read_spool(tmp_path))) == 200


@given(st.lists(st.text(min_size=1, max_size=5), max_size=6, unique=True), st.data())
def test_a_torn_end_costs_at_most_the_last_row(names: list[str], data: st.DataObject) -> None:
    whole = b"".join(json.dumps({"request_id": name}).encode() + b"\n" for name in names)
    cut = data.draw(st.integers(0, len(whole)))
    found = [row["request_id"] for row in parse_rows(whole[:cut])]
    assert found == names[: whole[:cut].count(b"\n")]
