"""The way to a running platform on a cluster: ordered steps, each with the look that says whether it is done."""

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from thorax.cluster.manifests import NOT_RELEASED, images, kubectl, objects, render

State = Literal["done", "missing", "unknown"]
LOOK_WITHIN_S = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A step and what a look found."""

    name: str
    state: State
    how: str
    found: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One step: what to do, and the question to the cluster that shows it done."""

    name: str
    how: str
    ask: tuple[str, ...]
    """Arguments of kubectl; done where they succeed and name something."""

    def look(self) -> Row:
        """Ask the cluster."""
        try:
            command = [kubectl(), *self.ask, f"--request-timeout={LOOK_WITHIN_S}s"]
            done = subprocess.run(command, capture_output=True, text=True, timeout=LOOK_WITHIN_S + 5, check=False)
        except subprocess.TimeoutExpired:
            return Row(name=self.name, state="unknown", how="the cluster does not answer")
        found = done.stdout.strip().splitlines()
        if done.returncode == 0 and found:
            return Row(name=self.name, state="done", how=self.how, found=found[0][:80])
        refused = done.returncode and "NotFound" not in done.stderr and "the server doesn't have" not in done.stderr
        return Row(name=self.name, state="unknown" if refused else "missing", how=self.how)


def steps(overlay: str) -> list[Step]:
    """Return the steps for an overlay, in order: what others stand on comes first."""
    found = objects(render(overlay))
    kinds = {one["kind"] for one in found}
    gpu = "nvidia.com/gpu" in json.dumps([one for one in found if one["kind"] == "Deployment"])
    chosen = [
        Step(name="a cluster", how="kubectl config use-context NAME", ask=("get", "nodes", "-o", "name")),
        Step(name="ingress", how="install ingress-nginx", ask=("get", "ingressclass", "nginx", "-o", "name")),
        _crd("cert-manager", "certificates.cert-manager.io", "https://cert-manager.io/docs/installation"),
    ]
    if gpu:
        labelled = ("get", "nodes", "-l", "thorax/pool=gpu", "-o", "name")
        chosen += [
            Step(name="GPU nodes", how="label the GPU pool's nodes: thorax/pool=gpu", ask=labelled),
            Step(
                name="GPU operator",
                how="install NVIDIA's GPU operator or device plugin",
                ask=("get", "nodes", "-o", "jsonpath={.items[*].status.allocatable.nvidia\\.com/gpu}"),
            ),
        ]
    chosen += [step for kind, step in OPERATORS.items() if kind in kinds]
    chosen += [_given(one) for one in given_objects(found)]
    chosen.append(
        Step(
            name="the platform",
            how=f"thorax infra render {overlay} | kubectl apply --server-side -f -",
            ask=("get", "deployment", "chest-xray", "-n", "thorax-serving", "-o", "name"),
        )
    )
    if any(image.endswith(NOT_RELEASED) for image in images(found)):
        first = Step(
            name="released images",
            how=f"push images and write their digests to infra/releases/{overlay}",
            ask=("get", "none"),
        )
        chosen.insert(0, first)
    return chosen


def given_objects(found: Sequence[dict[str, object]]) -> list[tuple[str, str, str]]:
    """Return (namespace, kind, name) of what pods ask for and no manifest makes: a person or an operator gives it."""
    from thorax.cluster.references import made, wanted

    there = made(found)
    return sorted(one for one in wanted(found) if one not in there)


def _given(one: tuple[str, str, str]) -> Step:
    namespace, kind, name = one
    return Step(
        name=f"{kind} {namespace}/{name}"[:28],
        how=f"make the {kind} {name} in {namespace}; infra/README.md says of what",
        ask=("get", kind.lower(), name, "-n", namespace, "-o", "name"),
    )


def _crd(name: str, crd: str, how: str) -> Step:
    return Step(name=name, how=f"install it: {how}", ask=("get", "crd", crd, "-o", "name"))


OPERATORS = {
    "ExternalSecret": _crd("External Secrets", "externalsecrets.external-secrets.io", "https://external-secrets.io"),
    "PodMonitor": _crd("Prometheus operator", "podmonitors.monitoring.coreos.com", "https://prometheus-operator.dev"),
    "ScaledObject": _crd("KEDA", "scaledobjects.keda.sh", "https://keda.sh"),
    "ClusterQueue": _crd("Kueue", "clusterqueues.kueue.x-k8s.io", "https://kueue.sigs.k8s.io"),
    "TrainingRuntime": _crd(
        "Kubeflow Trainer", "trainjobs.trainer.kubeflow.org", "https://www.kubeflow.org/docs/components/trainer"
    ),
}
