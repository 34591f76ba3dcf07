"""What is said of a TorchServe that answers, asked of a server of canned answers."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from thorax.stack import torchserve_server
from thorax.stack.places import DEFAULT_PORTS, Places
from thorax.stack.servers import site_of
from thorax.stack.site import Site

from .factories import make_site


@pytest.fixture
def site(home, request) -> Site:
    """A stack whose management API answers with the test's status and document."""
    status, document = request.param

    class Canned(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(document).encode())

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    with HTTPServer(("127.0.0.1", 0), Canned) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        ports = {**DEFAULT_PORTS, "management": server.server_port}
        yield site_of(Places.of(home), ports, make_site(home).credentials)
        server.shutdown()
        thread.join()


def described(*states: str) -> tuple[int, list]:
    return 200, [{"modelVersion": "1", "workers": [{"status": state} for state in states]}]


@pytest.mark.parametrize("site", [described(), described("UNLOADING"), described("STARTED", "STARTED")], indirect=True)
def test_a_loaded_model_without_a_ready_worker_is_noted_and_the_server_is_still_ready(site):
    assert "no worker ready" in torchserve_server.note(site)
    assert not torchserve_server.has_ready_worker(site)
    assert torchserve_server.is_ready(site)


@pytest.mark.parametrize("site", [described("READY"), described("STARTED", "READY"), (404, {})], indirect=True)
def test_nothing_is_noted_where_a_worker_is_ready_or_no_model_is_loaded(site):
    assert torchserve_server.note(site) == ""


def test_nothing_is_noted_of_a_server_that_does_not_answer(home):
    assert torchserve_server.note(make_site(home)) == ""


def test_what_a_person_sets_for_the_handler_reaches_it_and_nothing_else_does(home, monkeypatch):
    monkeypatch.setenv("THORAX_RUNTIME", "onnx-int8")
    monkeypatch.setenv("THORAX_DECODE_TIMEOUT_S", "7")
    monkeypatch.setenv("THORAX_MLFLOW_PASSWORD", "a secret")
    made = torchserve_server.variables(make_site(home))
    assert (made["THORAX_RUNTIME"], made["THORAX_DECODE_TIMEOUT_S"]) == ("onnx-int8", "7")
    assert "THORAX_MLFLOW_PASSWORD" not in made
