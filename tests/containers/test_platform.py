"""The local overlay's pods in real containers, talking to each other: approve, release, ask, watch, back up.

Torch is mounted and not installed (`infra/images/suite.sh`); everything else is as it is applied.
"""

import json
import os
import secrets
import shutil
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from imaging.models.directory import package_digest
from imaging.registry.session import signed_in
from imaging.settings import Settings
from tests.certificates import write_certificates
from tests.containers.player import NETWORK, Cluster, Pod, podman
from tests.e2e.postgres_stand import PASSWORD, Postgres, postgres_stand
from tests.e2e.torchserve_stand import until
from tests.serving.deployment_api import DeploymentApi
from tests.serving.factories import CLASSES, chest, dicom, write_package
from tests.signing import sign, trust
from thorax.cluster.manifests import objects, render

pytestmark = [pytest.mark.containers, pytest.mark.timeout(1500)]
MLFLOW, EDGE, POSTGRES = 21900, 21943, 21954
TORCH = os.environ.get("THORAX_TORCH_SITE", "")
HOSTS = f"mlflow.thorax-platform.svc:5000,127.0.0.1:5000,127.0.0.1:{MLFLOW}"
MADE = """
from audit import AuditLog
from audit import default_folder
details = {"gate": "all", "passed": True}
AuditLog(default_folder()).append("gate.evaluated", actor="trainer", subject="%s", details=details)
"""


def token() -> str:
    return secrets.token_urlsafe(24)


def given_secrets(tls: Path, database: Callable[..., str]) -> dict[tuple[str, str], dict[str, str]]:
    """What a person or an operator gives, as random as they would make it."""
    keys = {"access_key": token(), "secret_key": token()}
    registry = {name: token() for name in ("admin", "trainer", "approver", "controller", "flask")}
    registry |= {"database": database("mlflow"), "users_database": database("users")}
    audit_login = token()
    record = {"signing.key": secrets.token_hex(32), "database": database("audit", "thorax_audit", audit_login), **keys}
    pair = f'"{keys["access_key"]},{keys["secret_key"]}"'
    files = {"tls.crt": "server.pem", "tls.key": "server.key", "ca.crt": "authority.pem"}
    return {
        ("thorax-platform", "thorax-registry"): registry,
        ("thorax-platform", "thorax-s3"): keys,
        ("thorax-platform", "thorax-postgres"): {"password": PASSWORD, "audit_password": audit_login},
        ("thorax-platform", "thorax-audit"): record,
        ("thorax-serving", "thorax-audit"): record,
        ("thorax-platform", "thorax-bucket"): {"auth_key": pair},
        ("thorax-serving", "thorax-s3"): keys,
        ("thorax-serving", "thorax-mlflow"): {"username": "controller", "password": registry["controller"]},
        ("thorax-serving", "thorax-clients"): {f"pacs.{'k' * 43}": ""},
        ("thorax-serving", "chest-xray-tls"): {name: (tls / file).read_text() for name, file in files.items()},
    }


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The objects of the local overlay, what is given beside them, an empty network."""
    wanted = "localhost/thorax/torchserve:local"
    if not shutil.which("podman") or podman("image", "exists", wanted, check=False).returncode:
        pytest.skip("no images: `make containers` builds and plays them")
    folder = tmp_path_factory.mktemp("cluster")
    folder.chmod(0o755)
    tls = write_certificates(folder / "tls")
    trust(folder / "signer")
    mounts: tuple[str, ...] = ()
    if TORCH:
        (folder / "torch.pth").write_text("/opt/torch-site\n")
        site = "/app/venv/lib/python3.11/site-packages"
        mounts = (f"{TORCH}:/opt/torch-site:ro", f"{folder}/torch.pth:{site}/torch.pth:ro")
    key = (folder / "signer" / "keys" / "signing.pub").read_text()
    podman("network", "create", NETWORK, check=False)
    subnet = json.loads(podman("network", "inspect", NETWORK).stdout)[0]["subnets"][0]
    with postgres_stand(POSTGRES, "no pod can be played", network=subnet["subnet"]) as postgres:
        made = Cluster(
            objects=objects(render("local")),
            folder=folder,
            secrets=given_secrets(tls, partial(postgres.address, host=subnet["gateway"])),
            configs={("thorax-serving", "thorax-signing-key"): {"signing.pub": key}},
            changes={
                "mlflow": {"MLFLOW_SERVER_ALLOWED_HOSTS": HOSTS},
                "controller": {"KUBECONFIG": "/shared/kubeconfig"},
            },
            mounts=mounts,
        )
        make_databases(made, postgres)
        yield made
    if not os.environ.get("THORAX_KEEP_PODS"):
        podman("pod", "rm", "-af", check=False)
        podman("network", "rm", "-f", NETWORK, check=False)


def make_databases(cluster: Cluster, postgres: Postgres) -> None:
    """Run what PostgreSQL's image would run on an empty volume, on this machine's own."""
    assert postgres.ask("create database mlflow").returncode == 0
    place = cluster.folder / "databases"
    place.mkdir()
    for name, text in cluster.config("thorax-platform", "postgres-databases").items():
        (place / name).write_text(text.replace("/docker-entrypoint-initdb.d", str(place)))
    login = cluster.secrets["thorax-platform", "thorax-postgres"]
    own = {"POSTGRES_USER": "thorax", "AUDIT_PASSWORD": login["audit_password"], "PGPASSWORD": login["password"]}
    own |= {"PGHOST": "127.0.0.1", "PGPORT": str(postgres.port), "PATH": os.environ["PATH"]}
    subprocess.run(["bash", "-e", str(place / "databases.sh")], env=own, check=True, capture_output=True)


@pytest.fixture(scope="module")
def bucket(cluster: Cluster) -> Pod:
    pod = cluster.begin("StatefulSet", "bucket", alias="bucket.thorax-platform.svc")
    pod.start("rclone")
    until(lambda: "Starting s3 server" in pod.logs("rclone"), within_s=30)
    return pod


@pytest.fixture(scope="module")
def mlflow(cluster: Cluster, bucket: Pod) -> Pod:
    pod = cluster.begin(
        "Deployment", "mlflow", alias="mlflow.thorax-platform.svc", publish=(f"127.0.0.1:{MLFLOW}:5000",)
    )
    pod.start("mlflow")
    answers = f"http://127.0.0.1:{MLFLOW}/health"

    def is_set_up() -> bool:
        assert pod.is_running("mlflow"), pod.logs("mlflow")
        return "mlflow is ready" in pod.logs("mlflow") and httpx.get(answers).is_success

    until(is_set_up, within_s=180)
    return pod


def settings_of(cluster: Cluster, role: str) -> Settings:
    password = cluster.secrets["thorax-platform", "thorax-registry"][role]
    return Settings(mlflow_uri=f"http://127.0.0.1:{MLFLOW}", mlflow_username=role, mlflow_password=password)


@pytest.fixture(scope="module")
def approved(cluster: Cluster, mlflow: Pod, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A version with passed gates on record, registered by the trainer and approved by the approver; its digest."""
    package = tmp_path_factory.mktemp("package") / "model"
    write_package(package)
    columns = {"patient": [f"p{n}" for n in range(200)], "mean": [0.4 + 0.001 * (n % 50) for n in range(200)]}
    columns |= {f"p_{name}": [1 / 3 + 0.001 * (n % 30) for n in range(200)] for name in CLASSES}
    pq.write_table(pa.table(columns), package / "reference_profile.parquet")
    sign(package)
    digest = package_digest(package)
    podman("exec", "mlflow-mlflow", "python", "-c", MADE % digest)
    tags = {"gates": "passed", "package.digest": digest, "author": "trainer"}
    with signed_in(settings_of(cluster, "trainer")) as client:
        run = client.create_run(client.create_experiment("train-classifier")).info.run_id
        client.log_artifacts(run, str(package), "model")
        made = client.create_model_version("chest-xray", f"runs:/{run}/model", run_id=run, tags=tags)
        client.set_terminated(run)
    with signed_in(settings_of(cluster, "approver")) as client:
        client.set_registered_model_alias("chest-xray", "champion", made.version)
    return digest


@pytest.fixture(scope="module")
def told(cluster: Cluster, approved: str) -> Iterator[dict[str, str]]:
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
    cluster: Cluster, serving: Pod, approved: str
) -> None:
    answer = ask(cluster, dicom(chest()))
    assert answer.status_code == 200, answer.text
    assert (answer.json()["model"]["version"], answer.json()["model"]["digest"]) == ("1", approved)
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
        with signed_in(settings_of(cluster, "trainer")) as client:
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
