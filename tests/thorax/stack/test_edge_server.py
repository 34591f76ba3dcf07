"""A real nginx as `up` starts it, with nothing behind it."""

import json
import os
import signal
import socket
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import httpx
import psutil
import pytest

from monitoring.edge_log import parse_edge_log
from thorax import stack
from thorax.stack import processes
from thorax.stack.places import DEFAULT_PORTS, Places, load_ports, save_ports
from thorax.stack.servers import SERVERS, nothing

ALONE = {"edge": replace(SERVERS["edge"], after=(), set_up=nothing)}


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


@pytest.fixture
def place(home) -> Iterator[Path]:
    """A home with a name that nginx could misread."""
    odd = home / "a $home; with {odd} \"signs\" and 'more'"
    odd.mkdir(parents=True)
    save_ports(Places.of(odd), dict(zip(DEFAULT_PORTS, free_ports(len(DEFAULT_PORTS)), strict=True)))
    yield odd
    stack.down(odd)


def test_it_answers_in_code_and_writes_into_its_home_alone(place):
    at = stack.up(place, servers=ALONE).inference
    answers = [httpx.get(f"{at}/x"), httpx.post(f"{at}/predictions/chest-xray", content=bytes(2 * 2**20))]
    answers.append(httpx.put(f"{at}/predictions/chest-xray/7", content=b""))
    codes = [(answer.status_code, answer.json()["code"]) for answer in answers]
    assert codes == [(404, "not_found"), (502, "service_unavailable"), (405, "method_not_allowed")]
    assert all(answer.headers["Server"] == "nginx" for answer in answers)
    log = place / "edge" / "logs" / f"requests-{datetime.now(UTC).date()}.jsonl"
    rows = list(parse_edge_log(log.read_bytes()))
    assert [row["refusal_code"] for row in rows] == ["edge_502", "edge_405"]
    assert [row["request_id"] for row in rows] == [answer.json()["request_id"] for answer in answers[1:]]
    assert abs(datetime.fromisoformat(rows[0]["time"]).timestamp() - datetime.now(UTC).timestamp()) < 60
    files = {item.path for item in running(place).open_files()}
    assert all(path.startswith(str(place)) for path in files)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"garbage\r\n\r\n", 400),
        (b"POST /predictions/chest-xray HTTP/9.1\r\n\r\n", 505),
        (b"POST /predictions/chest-xray HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
        (b"POST /predictions/chest-xray HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 70_000 + b"\r\n\r\n", 400),
        (b"POST /predictions/chest-xray?" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
        (b"POST /predictions/chest-xray HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        (b"GET /refuse/400 HTTP/1.1\r\nHost: x\r\n\r\n", 404),
    ],
    ids=["no HTTP", "unknown version", "bad host", "large header", "long address", "unknown coding", "inner path"],
)
def test_what_is_hardly_http_is_refused_in_code(place, sent, status):
    host, _, port = stack.up(place, servers=ALONE).inference.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=10) as line:
        line.sendall(sent)
        answer = b""
        while not answer.rstrip().endswith(b"}"):
            piece = line.recv(4096)
            assert piece, answer
            answer += piece
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["request_id"].startswith("edge-")


def test_up_again_leaves_it_alone_and_a_killed_one_is_started_again_without_the_bodies_it_held(place):
    stack.up(place, servers=ALONE)
    first = running(place)
    stack.up(place, servers=ALONE)
    assert running(place).pid == first.pid
    left = place / "edge" / "bodies" / "body" / "0000000001"
    left.write_bytes(b"a radiograph")
    os.kill(first.pid, signal.SIGKILL)
    first.wait(5)
    stack.up(place, servers=ALONE)
    assert running(place).pid != first.pid
    assert not left.exists()
    assert len(processes.marked(Places.of(place).stack_id)) == 1


def test_another_configuration_starts_it_again(place):
    stack.up(place, servers=ALONE)
    first = running(place)
    places = Places.of(place)
    save_ports(places, {**(load_ports(places) or {}), "grpc_upstream": free_ports(1)[0]})
    stack.up(place, servers=ALONE)
    assert running(place).pid != first.pid
    assert str((load_ports(places) or {})["grpc_upstream"]) in (place / "edge" / "nginx.conf").read_text()


def test_a_port_that_is_taken_meanwhile_is_given_up(place):
    ports = load_ports(Places.of(place)) or {}
    with socket.create_server(("127.0.0.1", ports["inference"])):
        found = stack.up(place, servers=ALONE)
    assert found.inference != f"http://127.0.0.1:{ports['inference']}"


def test_a_torchserve_of_a_version_without_an_edge_gives_up_its_address(place):
    places = Places.of(place)
    ports = load_ports(places) or {}
    program = "import http.server, sys; http.server.HTTPServer(('127.0.0.1', int(sys.argv[1])), None).serve_forever()"
    older = replace(
        SERVERS["s3"],
        name="torchserve",
        command=lambda site: [site.python, "-S", "-c", program, str(site.ports["inference"])],
        prepare=lambda site: site.places.torchserve.mkdir(parents=True, exist_ok=True),
        is_ready=lambda _site: True,
        ports=("inference",),
    )
    stack.up(place, servers={"torchserve": older})
    written = json.loads(places.addresses.read_text(encoding="utf-8"))
    del written["behind_the_edge"]
    places.addresses.write_text(json.dumps(written), encoding="utf-8")
    found = stack.up(place, servers=ALONE)
    assert found.inference == f"http://127.0.0.1:{ports['inference']}"
    assert [name for name, _process in processes.marked(places.stack_id)] == ["edge"]


def running(place: Path) -> psutil.Process:
    (process,) = [found for name, found in processes.marked(Places.of(place).stack_id) if name == "edge"]
    return process
