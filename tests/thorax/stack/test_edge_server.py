"""A real nginx as `up` starts it, with nothing behind it."""

import json
import os
import signal
import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import httpx
import psutil
import pytest

from imaging.errors import ConfigurationError
from monitoring.edge_log import parse_edge_log
from serving.openapi import openapi
from tests.certificates import write_certificates
from thorax import stack
from thorax.stack import processes
from thorax.stack.clients import Clients
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
    known = {"Authorization": f"Bearer {Clients(Places.of(place)).add('pacs')}"}
    url = f"{at}/predictions/chest-xray"
    answers = [httpx.get(f"{at}/x"), httpx.post(url, content=bytes(2 * 2**20), headers=known)]
    answers.append(httpx.put(f"{at}/predictions/chest-xray/7", content=b""))
    answers.append(httpx.post(url, content=bytes(2 * 2**20)))
    codes = [(answer.status_code, answer.json()["code"]) for answer in answers]
    assert codes == [
        (404, "not_found"),
        (502, "service_unavailable"),
        (405, "method_not_allowed"),
        (401, "unauthenticated"),
    ]
    assert all(answer.headers["Server"] == "nginx" for answer in answers)
    log = place / "edge" / "logs" / f"requests-{datetime.now(UTC).date()}.jsonl"
    deadline = time.monotonic() + 10  # a line is written once the request is over, which is after its answer
    while len(rows := list(parse_edge_log(log.read_bytes()))) < 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [row["refusal_code"] for row in rows] == ["edge_502", "edge_405", "edge_401"]
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


def test_it_serves_the_description_of_the_endpoint_to_everybody(place):
    answer = httpx.get(f"{stack.up(place, servers=ALONE).inference}/openapi.json")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")
    assert answer.json() == openapi()


def test_a_client_that_asks_too_often_is_told_to_wait_and_its_neighbour_is_not(place, monkeypatch):
    monkeypatch.setenv("THORAX_CLIENT_RATE", "2")
    url = f"{stack.up(place, servers=ALONE).inference}/ping"
    clients = Clients(Places.of(place))
    greedy, modest = ({"Authorization": f"Bearer {clients.add(name)}"} for name in ("greedy", "modest"))
    statuses = [httpx.get(url, headers=greedy) for _ in range(12)]
    assert {answer.status_code for answer in statuses[:5]} == {502}  # let through, to nobody
    late = statuses[-1]
    assert (late.status_code, late.json()["code"]) == (429, "too_many_requests")
    assert int(late.headers["Retry-After"]) > 0
    assert httpx.get(url, headers=modest).status_code == 502


def test_other_machines_are_answered_over_tls_where_they_show_a_certificate_of_the_authority(
    place, tmp_path, monkeypatch
):
    made = write_certificates(tmp_path / "a tls; {folder}")
    (port,) = free_ports(1)
    monkeypatch.setenv("THORAX_EDGE_LISTEN", f"127.0.0.1:{port}")
    monkeypatch.setenv("THORAX_EDGE_CERTIFICATE", str(made / "server.pem"))
    monkeypatch.setenv("THORAX_EDGE_KEY", str(made / "server.key"))
    monkeypatch.setenv("THORAX_EDGE_CLIENT_AUTHORITY", str(made / "authority.pem"))
    plain = stack.up(place, servers=ALONE).inference
    known = {"Authorization": f"Bearer {Clients(Places.of(place)).add('pacs')}"}
    trusted = ssl.create_default_context(cafile=str(made / "authority.pem"))
    url = f"https://127.0.0.1:{port}/predictions/chest-xray"
    stranger = httpx.post(url, content=b"x", headers=known, verify=trusted)
    assert (stranger.status_code, stranger.json()["code"]) == (401, "unauthenticated")
    other = write_certificates(tmp_path / "other")
    trusted.load_cert_chain(other / "client.pem", other / "client.key")
    assert httpx.post(url, content=b"x", headers=known, verify=trusted).status_code == 401
    trusted = ssl.create_default_context(cafile=str(made / "authority.pem"))
    trusted.load_cert_chain(made / "client.pem", made / "client.key")
    assert httpx.post(url, content=b"x", headers=known, verify=trusted).status_code == 502  # let through, to nobody
    assert httpx.post(url, content=b"x", verify=trusted).status_code == 401
    assert httpx.post(f"{plain}/predictions/chest-xray", content=b"x", headers=known).status_code == 502


def test_an_address_without_its_certificates_is_refused_with_what_is_missing(place, monkeypatch):
    monkeypatch.setenv("THORAX_EDGE_LISTEN", "0.0.0.0:8443")
    with pytest.raises(ConfigurationError, match="THORAX_EDGE_CERTIFICATE"):
        stack.up(place, servers=ALONE)
    monkeypatch.setenv("THORAX_EDGE_LISTEN", "8443 ssl; server {")
    with pytest.raises(ConfigurationError, match="IP address and a port"):
        stack.up(place, servers=ALONE)


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
