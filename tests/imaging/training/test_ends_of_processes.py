"""How several processes of one training ended, as told from what torchrun reports and what they said."""

import pytest

from imaging.training.distributed import _unforeseen
from imaging.training.messages import Heard

REPORT = """
============================================================
imaging.training.process FAILED
------------------------------------------------------------
Failures:
{others}
------------------------------------------------------------
Root Cause (first observed failure):
{root}
============================================================
"""


def end(rank: int, status: int, second: int) -> str:
    return (
        f"[{rank}]:\n  time      : 2026-11-27_04:40:{second:02}\n  host      : here\n"
        f"  rank      : {rank} (local_rank: {rank})\n  exitcode  : {status} (pid: 12) \n"
        "  error_file: <N/A>\n  traceback : Signal"
    )


@pytest.mark.parametrize(
    ("root", "other", "said"),
    [
        (end(1, -9, 2), end(0, -15, 2), "SIGKILL ended process 1 of 2"),
        (end(0, 1, 2), end(1, -9, 2), "SIGKILL ended process 1 of 2"),
        (end(0, 1, 2), end(1, -9, 34), "processes ended without a word"),
        (end(0, 1, 2), end(1, -15, 3), "processes ended without a word"),
        (end(1, -11, 2), end(0, 1, 3), "SIGSEGV ended process 1 of 2"),
    ],
)
def test_a_process_that_a_signal_ended_is_named_even_where_another_failed_before_it_was_seen(root, other, said):
    heard = Heard(on_epoch=lambda _: None, on_progress=lambda _: None)
    assert said in _unforeseen(heard, REPORT.format(root=root, others=other), 2)
