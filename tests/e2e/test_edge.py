"""The edge in front of a real TorchServe, started by `up`: what it lets through, what it refuses, what is logged."""

import http.client
import json
import os
import re
import signal
import socket
import stat
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import grpc
import httpx
import psutil
import pytest

from serving.errors import AccessDeniedError, RefusedError
from tests.e2e.edge_calls import PATH, ask, bearer, call, logged, pieces, refused, relay_from
from tests.e2e.torchserve_stand import Stand, behind_the_edge
from tests.serving.factories import dicom
from thorax import stack
from thorax.stack import processes
from thorax.stack.clients import Clients
from thorax.stack.edge_config import GRPC_FROM
from thorax.stack.places import Places, load_ports
from thorax.stack.servers import SERVERS
from thorax.stack.torchserve_server import LARGEST_BODY, inference_socket

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

BEHIND = {name: SERVERS[name] for name in ("torchserve", "edge")}


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    """TorchServe behind the edge, version 1 released."""
    with behind_the_edge(tmp_path_factory.mktemp("edge") / "home", BEHIND) as made:
        yield made


@pytest.fixture
def new_rows(stand: Stand) -> Callable[[int], list[str]]:
    """Returns what became of the requests since the test began, in the words of the prediction log.

    A line is written when its connection is done with, which may be after the answer: `count` rows are waited for.
    """
    known = {row["request_id"] for row in logged(stand)}

    def rows(count: int) -> list[str]:
        found: list[dict] = []
        deadline = time.monotonic() + 20
        while len(found) < count and time.monotonic() < deadline:
            time.sleep(0.2)
            found = [row for row in logged(stand) if row["request_id"] not in known]
        return sorted(row["refusal_code"] or "answered" for row in found)

    return rows


def test_every_request_has_one_row_whoever_answered_it(stand, new_rows):
    token = bearer(stand)
    large = LARGEST_BODY + 2**20
    assert stand.client.predict(dicom()).probabilities
    declared = ask(stand, "POST", PATH, content=bytes(large), headers=token)
    chunked = ask(stand, "POST", PATH, content=pieces(large), headers=token)
    assert [(one.status_code, one.json()["code"]) for one in (declared, chunked)] == [(413, "image_too_large")] * 2
    assert refused(stand, dicom(), token=False) is grpc.StatusCode.UNAUTHENTICATED
    assert b'"probabilities"' in call(stand, dicom(), token=True)
    assert b'"malformed_image"' in call(stand, b"\x89PNG\r\n\x1a\n", token=True)
    stranger = ask(stand, "POST", PATH, content=dicom())
    assert (stranger.status_code, stranger.json()["code"]) == (401, "unauthenticated")
    assert stranger.headers["WWW-Authenticate"] == "Bearer"
    deleted = ask(stand, "DELETE", PATH, headers=token)
    assert (deleted.status_code, deleted.json()["code"], deleted.headers["Allow"]) == (
        405,
        "method_not_allowed",
        "GET, POST, OPTIONS",
    )
    assert ask(stand, "GET", "/ping", headers=token).status_code == 200
    assert ask(stand, "GET", "/favicon.ico").json()["code"] == "not_found"
    refusals = ["malformed_image", "edge_405", "edge_413", "edge_413", "edge_401", "grpc_unauthenticated"]
    expected = ["answered", "answered", *refusals]
    assert new_rows(len(expected)) == sorted(expected)


def test_the_refusal_that_a_caller_got_is_the_one_in_the_log(stand, new_rows):
    answer = ask(stand, "POST", PATH, content=bytes(LARGEST_BODY + 1))
    assert new_rows(1) == ["edge_413"]
    row = next(row for row in logged(stand) if row["request_id"] == answer.json()["request_id"])
    assert (row["refusal_code"], row["model_digest"]) == ("edge_413", None)


def test_the_client_reads_a_refusal_of_the_edge_as_one_of_the_model(stand, new_rows):
    with pytest.raises(RefusedError) as caught:
        stand.client.predict(bytes(LARGEST_BODY + 1))
    assert caught.value.code == "image_too_large"
    assert new_rows(1) == ["edge_413"]


def test_the_largest_body_that_is_let_in_reaches_the_model(stand, new_rows):
    answer = ask(stand, "POST", PATH, content=bytes(LARGEST_BODY), headers=bearer(stand))
    assert (answer.status_code, answer.json()["code"]) == (413, "image_too_large")
    assert not answer.json()["request_id"].startswith("edge-")
    expected = ["image_too_large"]
    assert new_rows(len(expected)) == expected


def test_a_grpc_call_that_is_too_large_or_unknown_is_refused_and_logged(stand, new_rows):
    assert refused(stand, bytes(LARGEST_BODY + 2**20), token=True) is grpc.StatusCode.UNAVAILABLE
    assert refused(stand, b"", token=True, method="NoSuchCall") is grpc.StatusCode.UNIMPLEMENTED
    expected = ["grpc_unavailable"]
    assert new_rows(len(expected)) == expected


def test_a_grpc_call_around_the_edge_is_refused_and_logged_too(stand, new_rows):
    denied = grpc.StatusCode.PERMISSION_DENIED
    assert refused(stand, dicom(), token=False, around=True) is denied
    assert refused(stand, dicom(), token=False, around=True) is denied
    assert refused(stand, dicom(), token=False, method="Doe", around=True) is grpc.StatusCode.UNIMPLEMENTED
    assert refused(stand, bytes(LARGEST_BODY + 2**20), token=True, around=True) is grpc.StatusCode.CANCELLED
    assert b'"probabilities"' in call(stand, dicom(), token=True, around=True)
    assert refused(stand, dicom(), token=False) is grpc.StatusCode.UNAUTHENTICATED
    expected = ["answered", *["grpc_permission_denied"] * 2, "grpc_resource_exhausted", "grpc_unauthenticated"]
    assert new_rows(len(expected)) == expected
    written = b"".join(path.read_bytes() for path in (stand.home / "torchserve" / "logs").glob("grpc_log*"))
    assert written.count(b"\n") >= 4
    assert bearer(stand)["Authorization"].partition(" ")[2].encode() not in written
    assert b"Doe" not in written


def test_a_stranger_who_takes_the_edges_own_address_is_logged_once_too(stand, new_rows):
    upstream = (load_ports(Places.of(stand.home)) or {})["grpc_upstream"]
    with relay_from(GRPC_FROM, upstream) as at:
        assert refused(stand, dicom(), token=False, at=at) is grpc.StatusCode.PERMISSION_DENIED
    assert b'"malformed_image"' in call(stand, b"\x89PNG\r\n\x1a\n", token=True)
    expected = ["grpc_permission_denied", "malformed_image"]
    assert new_rows(len(expected)) == expected


def test_a_body_that_never_comes_to_its_end_is_in_the_log(stand, new_rows):
    host, _, port = stand.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=10) as line:
        known = f"Authorization: {bearer(stand)['Authorization']}\r\n"
        line.sendall(f"POST {PATH} HTTP/1.1\r\nHost: x\r\n{known}Content-Length: 1000\r\n\r\nhalf".encode())
    expected = ["edge_400"]
    assert new_rows(len(expected)) == expected


def test_an_integration_is_answered_by_its_token_until_that_is_taken(stand, new_rows):
    clients = Clients(Places.of(stand.home))
    first = clients.add("pacs-main")
    client = replace(stand.client, keys=None, token=first, attempts=1)
    assert client.predict(dicom()).model.version == "1"
    second = clients.rotate("pacs-main")
    assert replace(client, token=second).predict(dicom()).probabilities
    assert client.predict(dicom()).probabilities
    assert clients.retire("pacs-main") == 1
    assert replace(client, token=second).predict(dicom()).probabilities
    for token in (first, first.upper(), f"{first[:-1]}x", "pacs-main.", "pacs-main", "../key_file.json", "."):
        with pytest.raises(AccessDeniedError):
            replace(client, token=token).predict(dicom())
    clients.revoke("pacs-main")
    with pytest.raises(AccessDeniedError):
        replace(client, token=second).predict(dicom())
    expected = [*["answered"] * 4, *["edge_401"] * 8]
    assert new_rows(len(expected)) == expected
    written = b"".join(path.read_bytes() for path in [*(stand.home / "edge" / "logs").iterdir(), log_of(stand)])
    assert b'"client":"pacs-main"' in written
    assert first.encode() not in written
    record = "".join(path.read_text(errors="replace") for path in (stand.home / "audit").rglob("*") if path.is_file())
    assert first not in record


def test_more_than_the_queue_holds_is_told_to_come_back_and_nothing_is_lost(stand, new_rows):
    image, callers = dicom(), 250
    headers = {**bearer(stand), "X-Thorax-Explain": "grad-cam++", "Content-Type": "application/dicom"}
    barrier = threading.Barrier(callers)

    def call_at_once(_number: int) -> tuple[int, str]:
        line = http.client.HTTPConnection(stand.url.removeprefix("http://"), timeout=60)
        line.connect()
        barrier.wait(60)
        line.request("POST", PATH, image, headers)
        answer = line.getresponse()
        answer.read()
        line.close()
        return answer.status, answer.getheader("Retry-After", "")

    with ThreadPoolExecutor(callers) as pool:
        answers = list(pool.map(call_at_once, range(callers)))
    busy = [again for status, again in answers if status != 200]
    assert {status for status, _ in answers} == {200, 503}
    assert all(int(again) > 0 for again in busy)
    expected = sorted([*["answered"] * (callers - len(busy)), *["torchserve_503"] * len(busy)])
    assert new_rows(callers) == expected
    assert stand.client.predict(image).probabilities


def test_prometheus_finds_the_requests_by_outcome_and_their_times(stand, new_rows):
    def figures() -> dict[str, float]:
        lines = httpx.get(
            json.loads((stand.home / "stack.json").read_text())["torchserve"]["metrics"] + "/metrics"
        ).text
        found = {}
        for line in lines.splitlines():
            name, _, value = line.rpartition(" ")
            if name.startswith("thorax_"):
                found[re.sub(r',?[Hh]ostname="[^"]*"', "", name).replace(",}", "}")] = float(value)
        return found

    stand.client.predict(dicom(), request_id="case-77")
    before = figures()
    stand.client.predict(dicom())
    ask(stand, "POST", PATH, content=b"no image", headers=bearer(stand))
    deadline = time.monotonic() + 10
    ok, refused = (f'thorax_requests_total{{code="{code}",version="1"}}' for code in ("ok", "unsupported_media_type"))
    while figures().get(ok, 0) < before[ok] + 1 and time.monotonic() < deadline:
        time.sleep(0.2)
    after = figures()
    assert after[ok] == before[ok] + 1
    assert after[refused] == before.get(refused, 0) + 1
    assert (
        after['thorax_seconds_count{part="decode",version="1"}']
        == before['thorax_seconds_count{part="decode",version="1"}'] + 2
    )
    assert any(name.startswith("thorax_score_bucket") for name in after)
    assert "case-77" not in str(after)
    assert len(new_rows(3)) == 3


def test_nothing_of_a_client_is_written_down_but_what_it_asked_for(stand, new_rows):
    ask(stand, "POST", f"{PATH}?patient=Doe", content=b"Doe", headers={**bearer(stand), "X-Patient": "Doe"})
    ask(stand, "POST", f"{PATH}/Doe", content=b"Doe")
    ask(stand, "GET", "/Doe", headers={"User-Agent": "Doe"})
    assert len(new_rows(2)) == 2
    written = b"".join(path.read_bytes() for path in [*(stand.home / "edge" / "logs").iterdir(), log_of(stand)])
    assert PATH.encode() in written
    assert b"Doe" not in written
    assert b"127.0.0.1" not in written
    assert f"{PATH}?".encode() not in (stand.home / "torchserve" / "logs" / "access_log.log").read_bytes()


def log_of(stand: Stand) -> Path:
    return Places.of(stand.home).log("edge")


def test_nobody_reaches_torchserve_around_the_edge(stand):
    places = Places.of(stand.home)
    ports = load_ports(places)
    process = next(found for name, found in processes.marked(places.stack_id) if name == "torchserve")
    assert not {ports["inference"], ports["grpc_inference"]} & processes.listening(process)
    assert stat.S_IMODE(inference_socket(places).parent.stat().st_mode) == 0o700
    for server in stack.status(stand.home):
        assert (server.state == "running") == (server.name in BEHIND)


def test_a_torchserve_that_is_away_is_told_in_code_and_logged(stand, new_rows):
    places = Places.of(stand.home)
    torchserve = next(one for one in stack.status(stand.home) if one.name == "torchserve")
    edge = next(one for one in stack.status(stand.home) if one.name == "edge")
    os.kill(torchserve.pid, signal.SIGKILL)
    psutil.Process(torchserve.pid).wait(5)
    answer = ask(stand, "POST", PATH, content=dicom(), headers=bearer(stand))
    assert (answer.status_code, answer.json()["code"]) == (502, "service_unavailable")
    assert int(answer.headers["Retry-After"]) > 0
    assert refused(stand, dicom(), token=True) is grpc.StatusCode.UNAVAILABLE
    stack.up(stand.home, servers=BEHIND)
    assert next(one for one in stack.status(stand.home) if one.name == "edge").pid != edge.pid  # for the new token
    assert stand.client.predict(dicom()).model.version == "1"
    by_up = ["torchserve_400"]  # it sees that a stranger is refused
    expected = ["answered", "edge_502", "grpc_unavailable", *by_up]
    assert new_rows(len(expected)) == expected
    assert not list((places.edge / "bodies" / "body").iterdir())
