"""A small stand-in of a Kubernetes API with Kubeflow Trainer: as much as submitting and watching a TrainJob asks for.

A TrainJob is taken, kept to be looked at, and handed to a function that plays the nodes.
"""

import contextlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

TRAINER = "trainer.kubeflow.org/v1alpha1"
CREATED = "2026-11-22T10:00:00Z"
NODE = {"name": "node", "image": "ghcr.io/kubeflow/trainer/torch"}
RUNTIME = {
    "apiVersion": TRAINER,
    "kind": "ClusterTrainingRuntime",
    "metadata": {"name": "torch-distributed", "labels": {"trainer.kubeflow.org/framework": "torch"}},
    "spec": {
        "mlPolicy": {"numNodes": 1, "torch": {}},
        "template": {
            "spec": {
                "replicatedJobs": [
                    {
                        "name": "node",
                        "template": {
                            "metadata": {"labels": {"trainer.kubeflow.org/trainjob-ancestor-step": "trainer"}},
                            "spec": {"template": {"spec": {"containers": [NODE]}}},
                        },
                    }
                ]
            }
        },
    },
}


class ClusterApi(ThreadingHTTPServer):
    """A server on loopback; `play` gets each TrainJob and says by `say` and `finish` how it goes.

    Args:
        play: Plays the nodes, in a thread of its own.
        silent_for: So many questions about a job are not answered.
        has_runtime: Whether Kubeflow Trainer's runtimes are installed.
    """

    daemon_threads = True

    def __init__(
        self, play: Callable[["ClusterApi", dict], None], *, silent_for: int = 0, has_runtime: bool = True
    ) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.play, self.silent_for, self.has_runtime = play, silent_for, has_runtime
        self.jobs: dict[str, dict] = {}
        self.taken: list[dict] = []
        self.logs: dict[int, str] = {}

    def say(self, text: str, *, node: int = 0) -> None:
        self.logs[node] = self.logs.get(node, "") + text

    def finish(self, job: dict, condition: str) -> None:
        job["status"] = {"conditions": [{"type": condition, "status": "True", "lastTransitionTime": CREATED}]}

    def take(self, job: dict) -> dict:
        job["metadata"] |= {"namespace": "thorax", "creationTimestamp": CREATED}
        self.taken.append(json.loads(json.dumps(job)))
        self.jobs[job["metadata"]["name"]] = job
        threading.Thread(target=self.play, args=(self, job), daemon=True).start()
        return job

    def pods(self, selector: str) -> list[dict]:
        name = re.search(r"jobset-name=([^,]+)", selector)[1]
        trainer = self.jobs[name]["spec"]["trainer"]
        node = {**NODE, "resources": trainer["resourcesPerNode"]}
        return [
            {
                "metadata": {
                    "name": f"{name}-node-{number}",
                    "creationTimestamp": CREATED,
                    "labels": {
                        "jobset.sigs.k8s.io/replicatedjob-name": "node",
                        "batch.kubernetes.io/job-completion-index": str(number),
                    },
                },
                "spec": {"containers": [node]},
                "status": {"phase": "Running"},
            }
            for number in range(trainer["numNodes"])
        ]

    def kube_config(self, path: Path) -> Path:
        context = {"name": "c", "context": {"cluster": "c", "user": "u", "namespace": "thorax"}}
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "c",
            "contexts": [context],
            "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{self.server_port}"}}],
            "users": [{"name": "u", "user": {}}],
        }
        path.write_text(json.dumps(document))
        return path


class _Handler(BaseHTTPRequestHandler):
    server: ClusterApi

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        *_, before, last = url.path.split("/")
        if last == "trainjobs":
            self._answer(200, {"apiVersion": TRAINER, "kind": "TrainJobList", "items": list(self.server.jobs.values())})
        elif before == "trainjobs" and self.server.silent_for:
            self.server.silent_for -= 1
            self._answer(503, {"message": "the API server is busy"})
        elif before == "trainjobs" and last in self.server.jobs:
            self._answer(200, self.server.jobs[last])
        elif before == "clustertrainingruntimes" and self.server.has_runtime:
            self._answer(200, RUNTIME)
        elif last == "pods":
            pods = self.server.pods(parse_qs(url.query)["labelSelector"][0])
            self._answer(200, {"apiVersion": "v1", "kind": "PodList", "metadata": {}, "items": pods})
        elif last == "log":
            self._send(200, self.server.logs.get(int(before.rpartition("-")[2]), "").encode(), "text/plain")
        else:
            self._answer(404, {"kind": "Status", "status": "Failure", "message": f"nothing at {url.path}"})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self._answer(201, self.server.take(body))

    def do_DELETE(self) -> None:
        name = urlsplit(self.path).path.rpartition("/")[2]
        self._answer(200 if self.server.jobs.pop(name, None) else 404, {"kind": "Status"})

    def log_message(self, *args: object) -> None:
        """Say nothing."""

    def _answer(self, status: int, document: dict) -> None:
        self._send(status, json.dumps(document).encode(), "application/json")

    def _send(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextlib.contextmanager
def serve(play: Callable[[ClusterApi, dict], None], **options: object) -> Iterator[ClusterApi]:
    """Run a cluster's API until the block ends."""
    api = ClusterApi(play, **options)
    thread = threading.Thread(target=api.serve_forever, daemon=True)
    thread.start()
    try:
        yield api
    finally:
        api.shutdown()
        api.server_close()
        thread.join()
