"""A small stand-in of the Kubernetes API: one Deployment, patched as a strategic merge would, and leases."""

import json
from copy import deepcopy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

LEASES = "/apis/coordination.k8s.io/v1/namespaces/thorax-serving/leases"
PATH = "/apis/apps/v1/namespaces/thorax-serving/deployments/chest-xray"


def fresh() -> dict[str, Any]:
    """As applied from the manifests: three pods that wait for a version."""
    pod = {"initContainers": [{"name": "fetch", "image": "i", "env": []}], "containers": [{"name": "torchserve"}]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "chest-xray", "resourceVersion": "1", "generation": 1, "annotations": {}},
        "spec": {"replicas": 3, "selector": {}, "template": {"metadata": {}, "spec": pod}},
        "status": {"observedGeneration": 1, "replicas": 3, "updatedReplicas": 3, "availableReplicas": 0},
    }


class DeploymentApi(ThreadingHTTPServer):
    """On loopback; `roll_out` and `give_up` play the cluster's own controller."""

    daemon_threads = True

    def __init__(self, address: str = "127.0.0.1") -> None:
        super().__init__((address, 0), _Handler)
        self.deployment, self.patches, self.status = fresh(), 0, 200
        self.leases: dict[str, dict[str, Any]] = {}
        self.answering = [""]
        """The versions whose pods answered, one after the other; a gap would be an empty name after the first."""

    @property
    def told(self) -> str:
        env = self.deployment["spec"]["template"]["spec"]["initContainers"][0]["env"]
        return next((one["value"] for one in env if one["name"] == "THORAX_MODEL_VERSION"), "")

    def roll_out(self) -> None:
        self._progress("NewReplicaSetAvailable", 3)
        self.answering.append(self.told)

    def give_up(self) -> None:
        self._progress("ProgressDeadlineExceeded", 0)

    def _progress(self, reason: str, updated: int) -> None:
        condition = {"type": "Progressing", "status": "True", "reason": reason}
        self.deployment["status"] = {
            "observedGeneration": self.deployment["metadata"]["generation"],
            "replicas": 3,
            "updatedReplicas": updated,
            "availableReplicas": 3,
            "conditions": [condition],
        }

    def patch(self, change: dict[str, Any]) -> bool:
        """Merge a change, unless it was made from another state."""
        meta = change.get("metadata", {})
        if meta.get("resourceVersion", self.deployment["metadata"]["resourceVersion"]) != self.version:
            return False
        self.patches += 1
        mine = self.deployment["metadata"]
        mine["annotations"] |= meta.get("annotations", {})
        template = change["spec"]["template"]
        mine["generation"] += 1
        mine["resourceVersion"] = str(int(self.version) + 1)
        (first,) = template["spec"]["initContainers"]
        known = self.deployment["spec"]["template"]["spec"]["initContainers"][0]
        assert first["name"] == known["name"]
        values = {one["name"]: one for one in (*known["env"], *first["env"])}
        known["env"] = list(values.values())
        return True

    @property
    def version(self) -> str:
        return str(self.deployment["metadata"]["resourceVersion"])

    def touch(self) -> None:
        """Somebody else writes the object."""
        self.deployment["metadata"]["resourceVersion"] = str(int(self.version) + 1)


class _Handler(BaseHTTPRequestHandler):
    server: DeploymentApi

    def do_GET(self) -> None:
        if self.path.startswith(LEASES):
            found = self.server.leases.get(self.path.rpartition("/")[2])
            self._answer(self.server.status if found else 404, found)
            return
        self._answer(self.server.status if self.path == PATH else 404)

    def do_POST(self) -> None:
        lease = self._sent()
        known = lease["metadata"]["name"] in self.server.leases
        self._answer(409 if known else 201, None if known else self._kept(lease, 1))

    def do_PUT(self) -> None:
        lease = self._sent()
        version = self.server.leases[lease["metadata"]["name"]]["metadata"]["resourceVersion"]
        fits = lease["metadata"]["resourceVersion"] == version
        self._answer(200 if fits else 409, self._kept(lease, int(version) + 1) if fits else None)

    def _sent(self) -> dict[str, Any]:
        return dict(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def _kept(self, lease: dict[str, Any], version: int) -> dict[str, Any]:
        lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", **lease}
        lease["metadata"]["resourceVersion"] = str(version)
        self.server.leases[lease["metadata"]["name"]] = lease
        return lease

    def do_PATCH(self) -> None:
        assert self.headers["Content-Type"] == "application/strategic-merge-patch+json"
        change = self._sent()
        self._answer(200 if self.server.patch(change) else 409)

    def _answer(self, status: int, found: dict[str, Any] | None = None) -> None:
        shown = (found or deepcopy(self.server.deployment)) if status < 300 else {"kind": "Status"}
        body = json.dumps(shown).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""
