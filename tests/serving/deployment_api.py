"""A small stand-in of the Kubernetes API: one Deployment, patched as a strategic merge would, rolled out when told."""

import json
from copy import deepcopy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

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
        self._answer(self.server.status if self.path == PATH else 404)

    def do_PATCH(self) -> None:
        assert self.headers["Content-Type"] == "application/strategic-merge-patch+json"
        change = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self._answer(200 if self.server.patch(change) else 409)

    def _answer(self, status: int) -> None:
        found: dict[str, Any] = deepcopy(self.server.deployment) if status == 200 else {"kind": "Status"}
        body = json.dumps(found).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""
