"""The local overlay's pods in real containers, talking to each other: approve, release, ask, watch, back up.

Torch is mounted and not installed (`infra/images/suite.sh`); everything else is as it is applied.
"""

import json
import ssl
import threading
from collections.abc import Iterator

import httpx
import pytest
import yaml

from imaging.registry.session import signed_in
from tests.containers.player import NETWORK, Cluster, Pod, podman
from tests.containers.training import Trained
from tests.e2e.torchserve_stand import until
from tests.serving.deployment_api import DeploymentApi
from tests.serving.factories import chest, dicom

pytestmark = [pytest.mark.containers, pytest.mark.timeout(1500)]
EDGE = 21943


@pytest.fixture(scope="module")
def approved(cluster: Cluster, trained: Trained) -> Trained:
    """The version that was trained in containers, approved by the approver."""
    with signed_in(cluster.settings("approver")) as client:
        client.set_registered_model_alias("chest-xray", "champion", trained.version)
    return trained


@pytest.fixture(scope="module")
def told(cluster: Cluster, approved: Trained) -> Iterator[dict[str, str]]:
    """What the controller's container told the Deployment, which is a stand-in API on this machine."""
    gateway = json.loads(podman("network", "inspect", NETWORK).stdout)[0]["subnets"][0]["gateway"]
    with DeploymentApi("0.0.0.0") as api:
        threading.Thread(target=api.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        reach = {"server": f"http://{gateway}:{api.server_port}"}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": reach}],
            "users": [{"name": "u", "user": {}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        }
        claim = cluster.folder / "claims" / "thorax-home"
        claim.mkdir(parents=True, exist_ok=True)
        (claim / "kubeconfig").write_text(yaml.safe_dump(config))
        pod = cluster.begin("Deployment", "release-controller")
        pod.start("controller")
        try:
            until(lambda: api.told == "1", within_s=60)
            first = api.deployment["spec"]["template"]["spec"]["initContainers"][0]
            yield {one["name"]: one["value"] for one in first["env"]} | {"api": api}  # type: ignore[dict-item]
        finally:
            assert pod.stop("controller") == 0
            api.shutdown()


@pytest.fixture(scope="module")
def serving(cluster: Cluster, told: dict[str, str]) -> Pod:
    cluster.changes["fetch"] = {name: value for name, value in told.items() if name != "api"}
    pod = cluster.begin("Deployment", "chest-xray", publish=(f"127.0.0.1:{EDGE}:8443",))
    for name in ("torchserve", "edge", "log"):
        pod.start(name)
    pod.wait("torchserve", "startupProbe")
    pod.wait("edge", "startupProbe")
    return pod


def ask(cluster: Cluster, body: bytes, *, client: bool = True, token: str = f"pacs.{'k' * 43}") -> httpx.Response:
    tls = cluster.folder / "tls"
    context = ssl.create_default_context(cafile=str(tls / "authority.pem"))
    if client:
        context.load_cert_chain(tls / "client.pem", tls / "client.key")
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/dicom"}
    url = f"https://127.0.0.1:{EDGE}/predictions/chest-xray"
    return httpx.post(url, content=body, headers=headers, verify=context, timeout=60)


def test_a_dicom_is_answered_over_tls_by_the_version_that_was_approved(
    cluster: Cluster, serving: Pod, approved: Trained
) -> None:
    answer = ask(cluster, dicom(chest()))
    assert answer.status_code == 200, answer.text
    assert (answer.json()["model"]["version"], answer.json()["model"]["digest"]) == (approved.version, approved.digest)
    assert abs(sum(answer.json()["probabilities"].values()) - 1) < 1e-6


def test_a_stranger_and_a_caller_without_a_certificate_are_refused(cluster: Cluster, serving: Pod) -> None:
    assert ask(cluster, dicom(), token=f"pacs.{'x' * 43}").status_code == 401
    refused = ask(cluster, dicom(), client=False)
    assert refused.status_code == 401
    assert ask(cluster, b"no image").json()["code"] in {"malformed_image", "unsupported_media_type"}


def test_the_containers_have_no_root_no_capability_and_nowhere_to_write(serving: Pod) -> None:
    for name in ("torchserve", "edge", "log"):
        status = podman("exec", f"chest-xray-{name}", "cat", "/proc/1/status").stdout
        facts = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        assert facts["Uid"].split()[0] == "10001"
        assert int(facts["CapEff"], 16) == 0
        assert facts["NoNewPrivs"] == "1"
        assert podman("exec", f"chest-xray-{name}", "touch", "/app/new", check=False).returncode != 0


def test_the_release_is_completed_once_the_pods_are_ready(cluster: Cluster, serving: Pod, told: dict[str, str]) -> None:
    told["api"].roll_out()  # type: ignore[attr-defined]

    def status() -> str:
        with signed_in(cluster.settings("trainer")) as client:
            return str(client.get_model_version("chest-xray", "1").tags.get("deployment.status"))

    until(lambda: status() == "serving", within_s=30)
    assert told["api"].told == "1"  # type: ignore[attr-defined]


def test_the_log_comes_to_the_bucket_and_the_drift_job_reads_it_there(
    cluster: Cluster, serving: Pod, told: dict[str, str]
) -> None:
    data = cluster.folder / "bucket" / "data"
    until(lambda: any((data / "predictions").rglob("*.parquet")), within_s=90)
    job = cluster.begin("CronJob", "drift")
    done = job.run(job.box("drift"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "too_few" in done.stdout
    assert list((data / "reports" / "drift" / "1").rglob("drift.html"))


def test_the_record_verifies_and_its_backup_comes_to_its_bucket(cluster: Cluster, told: dict[str, str]) -> None:
    job = cluster.begin("CronJob", "audit-verify")
    done = job.run(job.box("verify"))
    assert done.returncode == 0, done.stdout + done.stderr
    heads = list((cluster.folder / "bucket" / "data" / "thorax-audit" / "heads").rglob("0*"))
    assert f"{len(heads) - 1} events hold" in done.stdout + done.stderr
    backup = cluster.begin("CronJob", "audit-backup")
    sent = backup.run(backup.box("send"))
    assert sent.returncode == 0, sent.stderr
    (kept,) = (cluster.folder / "bucket" / "data" / "thorax-audit" / "backup").iterdir()
    text = kept.read_text()
    assert all(action in text for action in ("gate.evaluated", "model.approved", "release.started"))


def test_the_pods_end_gently_and_the_last_rows_reach_the_bucket(cluster: Cluster, serving: Pod) -> None:
    assert ask(cluster, dicom(chest(3))).status_code == 200
    statuses = [serving.stop(name) for name in ("edge", "torchserve", "log")]
    assert statuses == [0, 0, 0]
    with pytest.raises(httpx.HTTPError):
        ask(cluster, dicom())
    spool = cluster.folder / "chest-xray" / "home" / "predictions"
    state = json.loads(next(spool.rglob("state.json")).read_text()) if list(spool.rglob("state.json")) else {}
    assert not state.get("pending")
