"""A port that is free when it is chosen and taken when the server wants it: a real server, a real occupant."""

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from imaging.errors import ServiceError
from thorax import stack
from thorax.stack import processes
from thorax.stack.credentials import Credentials
from thorax.stack.launch import PortTakenError
from thorax.stack.lifecycle import ATTEMPTS
from thorax.stack.places import DEFAULT_PORTS, Places, save_ports
from thorax.stack.processes import ProcessRecord
from thorax.stack.servers import Server, answers, nothing, site_of
from thorax.stack.site import Site, ask

PROGRAM = """
import http.server, sys
class Quiet(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
    def log_message(self, *_):
        pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Quiet).serve_forever()
"""


class Occupant:
    """Listens at a server's port as soon as it was chosen, `times` times."""

    def __init__(self, times: int) -> None:
        self.times = times
        self.asked: list[int] = []
        self.open = ExitStack()

    def take(self, site: Site) -> None:
        """Stand in for `prepare`, which is called after the ports are chosen and before the server is started."""
        port = site.ports["s3"]
        self.asked.append(port)
        if len(self.asked) <= self.times:
            self.open.enter_context(socket.create_server(("127.0.0.1", port)))


@pytest.fixture
def occupant(request) -> Iterator[Occupant]:
    """Takes the port as often as the test says."""
    made = Occupant(request.param)
    with made.open:
        yield made


@pytest.fixture
def place(home) -> Iterator[Path]:
    """A home whose ports are nobody's; its processes are ended afterwards."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    home.mkdir()
    save_ports(Places.of(home), {**DEFAULT_PORTS, "s3": port})
    yield home
    processes.end((process for _name, process in processes.marked(Places.of(home).stack_id)), grace_s=1)


def is_up(site: Site) -> bool:
    answer = ask("GET", site.addresses.s3)
    return answer is not None and answer.is_success


def table(occupant: Occupant, program: str = PROGRAM) -> dict[str, Server]:
    """One small server that takes s3's place."""
    server = Server(
        name="s3",
        command=lambda site: [sys.executable, "-S", "-c", program, str(site.ports["s3"])],
        variables=lambda _site: {},
        prepare=occupant.take,
        is_ready=is_up,
        set_up=nothing,
        config=lambda _site: "",
        ports=("s3",),
        ready_within_s=60.0,
    )
    return {"s3": server}


def process_of(home: Path) -> psutil.Process:
    record = ProcessRecord.load(Places.of(home).record("s3"))
    process = record.process() if record else None
    assert process is not None
    return process


@pytest.mark.parametrize("occupant", [1, ATTEMPTS - 1], indirect=True)
def test_a_server_that_lost_its_port_gets_another_and_is_tried_again(place, occupant):
    events = []
    found = stack.up(place, on_event=events.append, servers=table(occupant))
    assert len(occupant.asked) == occupant.times + 1
    assert len(set(occupant.asked)) == len(occupant.asked)
    assert found.s3 == f"http://127.0.0.1:{occupant.asked[-1]}"
    assert processes.listening(process_of(place)) == {occupant.asked[-1]}
    assert [event.state for event in events].count("failed") == occupant.times


@pytest.mark.parametrize("occupant", [1000], indirect=True)
def test_who_loses_every_port_is_told_which_and_what_the_server_said(place, occupant):
    with pytest.raises(PortTakenError, match=r"(?s)s3: it ended while starting; .*Address already in use") as caught:
        stack.up(place, servers=table(occupant))
    assert len(occupant.asked) == ATTEMPTS
    assert f"took {occupant.asked[-1]}" in str(caught.value)


@pytest.mark.parametrize("occupant", [0], indirect=True)
def test_a_server_that_ends_for_a_reason_of_its_own_is_not_tried_again(place, occupant):
    log = Places.of(place).logs / "s3.log"
    log.parent.mkdir()
    log.write_text("Address already in use, the last time\n", encoding="utf-8")
    with pytest.raises(ServiceError, match="no such key") as caught:
        stack.up(place, servers=table(occupant, "raise SystemExit('no such key')"))
    assert not isinstance(caught.value, PortTakenError)
    assert "the last time" not in str(caught.value)
    assert len(occupant.asked) == 1


@pytest.mark.parametrize("occupant", [0], indirect=True)
def test_another_stacks_server_at_our_port_is_not_taken_for_ours(place, occupant):
    servers = table(occupant)
    stack.up(place, servers=servers)
    site = site_of(Places.of(place), {**DEFAULT_PORTS, "s3": occupant.asked[0]}, Credentials.new())
    assert is_up(site)
    assert answers(servers["s3"], site, process_of(place))
    assert not answers(servers["s3"], site, psutil.Process(os.getpid()))
