"""The local overlay's pods in real containers, talking to each other, once for all tests of this folder.

Torch is mounted and not installed (`infra/images/suite.sh`); everything else is as it is applied.
"""

import json
import os
import secrets
import shutil
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import httpx
import pytest

from imaging.data.phantom import write_phantom
from imaging.registry.session import signed_in
from pipelines.resources import RECORD, RECORD_PATH, VOLUME_PATH
from tests.certificates import write_certificates
from tests.containers.player import NETWORK, Cluster, Pod, podman
from tests.containers.training import TRAINER, Containers, Trained, step_environment
from tests.e2e.postgres_stand import PASSWORD, Postgres, postgres_stand
from tests.e2e.torchserve_stand import until
from thorax.cluster.manifests import objects, render

MLFLOW, POSTGRES = 21900, 21954
PATIENTS = 520
"""As many as the gates ask for in the test part."""
TORCH = os.environ.get("THORAX_TORCH_SITE", "")
HOSTS = f"mlflow.thorax-platform.svc:5000,127.0.0.1:5000,127.0.0.1:{MLFLOW}"


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
        ("thorax-training", "thorax-audit"): record,
        ("thorax-training", "thorax-s3"): keys,
        ("thorax-training", "thorax-mlflow"): {"username": "trainer", "password": registry["trainer"]},
        ("thorax-training", "thorax-pseudonyms"): {"key": secrets.token_hex(32)},
        ("thorax-serving", "chest-xray-tls"): {name: (tls / file).read_text() for name, file in files.items()},
    }


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The objects of the local overlay, what is given beside them, an empty network."""
    wanted = "localhost/thorax/torchserve:local"
    if not shutil.which("podman") or podman("image", "exists", wanted, check=False).returncode:
        pytest.skip("no images: `make containers` builds and plays them")
    folder = tmp_path_factory.mktemp("cluster")
    folder.chmod(0o755)
    tls = write_certificates(folder / "tls")
    mounts: tuple[str, ...] = ()
    if TORCH:
        (folder / "torch.pth").write_text("/opt/torch-site\n")
        site = "/app/venv/lib/python3.11/site-packages"
        mounts = (f"{TORCH}:/opt/torch-site:ro", f"{folder}/torch.pth:{site}/torch.pth:ro")
    podman("network", "create", NETWORK, check=False)
    subnet = json.loads(podman("network", "inspect", NETWORK).stdout)[0]["subnets"][0]
    with postgres_stand(POSTGRES, "no pod can be played", network=subnet["subnet"]) as postgres:
        made = Cluster(
            objects=objects(render("local")),
            folder=folder,
            secrets=given_secrets(tls, partial(postgres.address, host=subnet["gateway"])),
            changes={
                "mlflow": {"MLFLOW_SERVER_ALLOWED_HOSTS": HOSTS},
                "controller": {"KUBECONFIG": "/shared/kubeconfig"},
            },
            mounts=mounts,
            registry=f"http://127.0.0.1:{MLFLOW}",
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


@pytest.fixture(scope="session")
def bucket(cluster: Cluster) -> Pod:
    pod = cluster.begin("StatefulSet", "bucket", alias="bucket.thorax-platform.svc")
    pod.start("rclone")
    until(lambda: "Starting s3 server" in pod.logs("rclone"), within_s=30)
    return pod


@pytest.fixture(scope="session")
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


@pytest.fixture(scope="session")
def source(cluster: Cluster, bucket: Pod) -> str:
    """Synthetic radiographs in the bucket `datasets`."""
    place = cluster.folder / "bucket" / "data" / "datasets" / "site-a"
    write_phantom(place, patients=PATIENTS, seed=1)
    for one in (place, *place.rglob("*")):
        one.chmod(0o755 if one.is_dir() else 0o644)
    return "s3://datasets/site-a"


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Podman's socket, which speaks as Docker's does."""
    address = f"unix://{tmp_path_factory.mktemp('engine')}/podman.sock"
    with subprocess.Popen(["podman", "system", "service", "--time=0", address], stderr=subprocess.DEVNULL) as service:
        try:
            until(lambda: Path(address.removeprefix("unix://")).exists(), within_s=30)
            yield address
        finally:
            service.terminate()


@pytest.fixture(scope="session")
def containers(cluster: Cluster, mlflow: Pod, source: str, engine: str) -> Containers:
    if podman("image", "exists", TRAINER, check=False).returncode:
        pytest.skip(f"no image {TRAINER}: `make containers` builds it")
    home, record, runs = (cluster.folder / name for name in ("claims/thorax-home", "record", "runs"))
    for place in (home / "home", record, runs):
        place.mkdir(parents=True, exist_ok=True)
        place.chmod(0o777)
    home.chmod(0o777)
    for name, text in cluster.secrets["thorax-training", RECORD].items():
        (record / name).write_text(text)
    mounts = [(str(home), VOLUME_PATH, False), (str(record), RECORD_PATH, True)]
    mounts += [(*mount.split(":")[:2], True) for mount in cluster.mounts]
    arguments = {
        "source": source,
        "labels": "labels.csv",
        "recipe": "smallcnn_phantom",
        "keep_split": True,
        "image": TRAINER,
    }
    plan = {"network": NETWORK, "environment": step_environment(cluster), "mounts": mounts, "arguments": arguments}
    return Containers(engine, plan, runs)


@pytest.fixture(scope="session")
def trained(cluster: Cluster, containers: Containers) -> Trained:
    """Train, gate and register in containers; the pods that serve then trust the key that signed the package."""
    done = containers.run()
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
    version = done.stdout.strip().splitlines()[-1]
    key = cluster.folder / "claims" / "thorax-home" / "home" / "keys" / "signing.pub"
    cluster.configs["thorax-serving", "thorax-signing-key"] = {"signing.pub": key.read_text()}
    with signed_in(cluster.settings("trainer")) as client:
        digest = str(client.get_model_version("chest-xray", version).tags["package.digest"])
    return Trained(version, digest, done.stdout)
