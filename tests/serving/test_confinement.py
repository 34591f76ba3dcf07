"""A process that is confined reaches no network and starts no program, and still computes and reads files."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from serving.decoding.confinement import ALLOW, FORBIDDEN, KILL, REFUSE, instructions

ROOT = Path(__file__).parents[2]
PROGRAM = """
import json, os, socket, sys
from serving.decoding.confinement import confine
took = confine()
def number(act):
    try:
        act()
    except OSError as error:
        return error.errno
    return 0
found = {
    "took": took,
    "socket": number(lambda: socket.socket()),
    "unix": number(lambda: socket.socket(socket.AF_UNIX)),
    "program": number(lambda: os.execv("/bin/true", ["true"])),
    "file": len(open(sys.executable, "rb").read(10)),
}
print(json.dumps(found))
"""


def test_it_opens_no_connection_and_starts_no_program():
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    found = json.loads(done.stdout)
    assert found["took"]
    assert (found["socket"], found["unix"], found["program"]) == (errno.EPERM,) * 3
    assert found["file"] == 10


def decide(program: list[tuple[int, int, int, int]], architecture: int, number: int) -> int:
    """Run the filter as the kernel does."""
    loaded, place = 0, 0
    while True:
        code, if_true, if_false, value = program[place]
        if code == 0x20:
            loaded = {0: number, 4: architecture}[value]
        elif code == 0x06:
            return value
        else:
            holds = loaded == value if code == 0x15 else loaded >= value
            place += if_true if holds else if_false
        place += 1


@pytest.mark.parametrize("machine", FORBIDDEN)
def test_the_filter_refuses_what_is_forbidden_and_nothing_else(machine):
    architecture, forbidden = FORBIDDEN[machine]
    program = instructions(architecture, forbidden)
    for number in range(600):
        assert decide(program, architecture, number) == (REFUSE if number in forbidden else ALLOW)
    assert decide(program, architecture, 0x40000000 + 41) == REFUSE
    assert decide(program, architecture ^ 1, 0) == KILL
