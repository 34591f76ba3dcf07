import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from audit import AuditLog

ROOT = Path(__file__).resolve().parents[2]
WRITER = """
import sys
from pathlib import Path
from audit import AuditLog
log, name, count = AuditLog(Path(sys.argv[1])), sys.argv[2], int(sys.argv[3])
for index in range(count):
    log.append("run.started", actor=name, subject=f"run/{index}")
    print(index, flush=True)
"""
KILLED_BEFORE_THE_WITNESS = """
import os, signal, sys
from pathlib import Path
from audit import AuditLog
from audit.witness import Witness

class DeadlyWitness(Witness):
    def add(self, seq, record_hash, signature):
        if seq > 0:
            os.kill(os.getpid(), signal.SIGKILL)
        super().add(seq, record_hash, signature)

log = AuditLog(Path(sys.argv[1]))
log.witness = DeadlyWitness(log.witness.folder)
log.append("run.started", actor="x", subject="y")
"""


def start(program: str, *arguments: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("THORAX_AUDIT_WITNESS", None)
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments], stdout=subprocess.PIPE, env=environment, text=True
    )


def test_writers_in_many_processes_never_fork_the_chain(log: AuditLog) -> None:
    writers = [start(WRITER, str(log.path), f"writer-{index}", "12") for index in range(4)]
    assert [writer.wait(timeout=120) for writer in writers if writer.communicate()] == [0, 0, 0, 0]
    found = log.verify()
    assert found.ok, found.problem
    assert found.checked == 48
    for index in range(4):
        own = [event.subject for event in log.events() if event.actor == f"writer-{index}"]
        assert own == [f"run/{step}" for step in range(12)]


def test_a_kill_at_any_moment_leaves_a_log_that_holds_and_goes_on(log: AuditLog) -> None:
    chance = random.Random(0)
    told = 0
    for _ in range(5):
        writer = start(WRITER, str(log.path), "killed", "100000")
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(chance.uniform(0, 0.05))
        writer.send_signal(signal.SIGKILL)
        rest, _ = writer.communicate(timeout=60)
        told += 1 + sum(line.strip().isdigit() for line in rest.splitlines())
        found = log.verify()
        assert found.ok, found.problem
        assert found.checked >= told
    log.append("run.finished", actor="x", subject="y")
    assert log.verify().ok


def test_a_kill_between_commit_and_witness_still_verifies(log: AuditLog) -> None:
    for expected in (1, 2):
        killed = start(KILLED_BEFORE_THE_WITNESS, str(log.path))
        assert killed.wait(timeout=60) == -signal.SIGKILL
        killed.communicate()
        assert log.verify().ok
        assert log.verify().checked == expected
    log.append("run.started", actor="x", subject="y")
    assert log.verify().ok
