"""Many workers give what one gives, in its order, and leave nobody behind."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from imaging.data import workers
from imaging.data.candidates import Reader
from imaging.data.ingest import ingest
from imaging.data.label_tables import Entry
from imaging.data.sources import open_source
from imaging.data.workers import WORTH_PROCESSES, read_all
from imaging.dicom.image import Limits
from imaging.errors import DataError

COUNT = WORTH_PROCESSES + 30


@pytest.fixture(scope="module")
def root(tmp_path_factory, make_folder) -> Path:
    """Enough small pictures for processes, one of them broken."""
    place = make_folder(tmp_path_factory.mktemp("many"), [(f"{'ab'[i % 2]}/{i}.png", i) for i in range(COUNT - 1)])
    (place / "a" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n junk")
    return place


def reader(root: Path, key: bytes) -> Reader:
    return Reader(source=open_source(str(root)), size=16, limits=Limits(), key=key)


def test_one_worker_threads_and_processes_give_the_same_dataset(tmp_path, root, key, monkeypatch):
    made = {ingest(str(root), tmp_path / "out", size=16, pseudonym_key=key, workers=n).digest for n in (1, 3)}
    monkeypatch.setattr(workers, "WORTH_PROCESSES", COUNT + 1)
    made.add(ingest(str(root), tmp_path / "out", size=16, pseudonym_key=key, workers=3).digest)
    assert len(made) == 1


def test_results_come_in_order_and_the_processes_are_gone_when_the_reader_stops_early(root, key):
    entries = [Entry(row=row, file=f"{'ab'[row % 2]}/{row}.png", label="a") for row in range(COUNT)]
    results = read_all(reader(root, key), entries, workers=2)
    assert [next(results).row for _ in range(40)] == list(range(40))
    children = psutil.Process().children()
    assert len(children) >= 2
    results.close()
    _, alive = psutil.wait_procs(children, timeout=20)
    assert not alive


def test_a_worker_that_dies_is_an_error_and_not_a_wait(root, key):
    entries = [Entry(row=row, file=f"{'ab'[row % 2]}/{row}.png", label="a") for row in range(COUNT)]
    results = read_all(reader(root, key), entries, workers=2)
    next(results)
    for child in psutil.Process().children():
        child.kill()
    with pytest.raises(DataError, match="died"):
        list(results)


LONG = """
import sys, time
from pathlib import Path
from imaging.data.ingest import ingest
ingest(sys.argv[1], Path(sys.argv[2]), size=16, pseudonym_key=bytes(32), workers=2,
       on_progress=lambda done, total: (done == 20 and print("reading", flush=True), time.sleep(0.2 * (done > 20))))
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_the_workers_die_with_their_parent(tmp_path, root, how):
    parent = subprocess.Popen(
        [sys.executable, "-c", LONG, str(root), str(tmp_path / "out")],
        env={**os.environ, "PYTHONPATH": "."},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert parent.stdout is not None
    assert parent.stdout.readline() == b"reading\n"
    children = psutil.Process(parent.pid).children()
    assert len(children) == 2
    parent.send_signal(how)
    _, alive = psutil.wait_procs(children, timeout=30)
    assert not alive
    _, complaints = parent.communicate(timeout=30)
    assert complaints.count(b"Traceback") == (how is signal.SIGINT)
