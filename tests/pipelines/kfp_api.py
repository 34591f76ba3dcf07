"""A small stand-in of the Kubeflow Pipelines API: as much of v2beta1 as submitting a run asks for.

Experiments are found and created, runs are created; what came is kept to be looked at.
"""

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


class KfpApi(ThreadingHTTPServer):
    """A server on loopback that keeps experiments and runs in memory."""

    daemon_threads = True

    def __init__(self, *, token: str = "", refuse_runs: bool = False, delay_s: float = 0.0) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.token, self.refuse_runs, self.delay_s = token, refuse_runs, delay_s
        self.experiments: list[dict] = []
        self.runs: list[dict] = []
        self.recurring: list[dict] = []
        self.shown: list[dict | int] = []
        """What looks at a run are answered, one after the other, the last again and again; a number is a status."""
        self.logs: dict[str, str] = {}

    @property
    def host(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: KfpApi

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if not self._is_known_to_us():
            return
        if path == "/apis/v2beta1/healthz":
            self._answer(200, {"multi_user": False})
        elif path == "/apis/v2beta1/experiments":
            time.sleep(self.server.delay_s)
            self._answer(200, {"experiments": self.server.experiments, "total_size": len(self.server.experiments)})
        elif path.startswith("/apis/v2beta1/runs/"):
            shown = self.server.shown.pop(0) if len(self.server.shown) > 1 else self.server.shown[0]
            self._answer(*((shown, {}) if isinstance(shown, int) else (200, shown)))
        elif path.startswith("/apis/v1alpha1/runs/") and path.split("/")[-2] in self.server.logs:
            self._write(200, self.server.logs[path.split("/")[-2]].encode(), "text/plain")
        else:
            self._answer(404, {"error": f"nothing at {path}"})

    def do_POST(self) -> None:
        path = urlsplit(self.path).path
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not self._is_known_to_us():
            return
        if path == "/apis/v2beta1/experiments":
            experiment = {**body, "experiment_id": f"experiment-{len(self.server.experiments) + 1}"}
            self.server.experiments.append(experiment)
            self._answer(200, experiment)
        elif path == "/apis/v2beta1/runs" and self.server.refuse_runs:
            self._answer(400, {"error": "the pipeline specification is invalid", "code": 3})
        elif path == "/apis/v2beta1/runs":
            run = {**body, "run_id": f"run-{len(self.server.runs) + 1}", "state": "PENDING"}
            self.server.runs.append(run)
            self._answer(200, run)
        elif path == "/apis/v2beta1/recurringruns":
            job = {**body, "recurring_run_id": f"job-{len(self.server.recurring) + 1}"}
            self.server.recurring.append(job)
            self._answer(200, job)
        else:
            self._answer(404, {"error": f"nothing at {path}"})

    def _is_known_to_us(self) -> bool:
        """Ask for the token, where the server was given one."""
        if not self.server.token or self.headers.get("Authorization") == f"Bearer {self.server.token}":
            return True
        self._answer(401, {"error": "who are you?"})
        return False

    def _answer(self, status: int, body: dict) -> None:
        self._write(status, json.dumps(body).encode(), "application/json")

    def _write(self, status: int, data: bytes, kind: str) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    def log_message(self, *message: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def serve(**options) -> Iterator[KfpApi]:
    """Run the stand-in for the block."""
    with KfpApi(**options) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
