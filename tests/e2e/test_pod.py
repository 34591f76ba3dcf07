"""A serving pod's containers, as processes that share a home: what Kubernetes starts, on real servers, without one.

The registry and the bucket are a stack's own. The release controller's Deployment is a stand-in API, and what it tells
the pods is what these processes are given.
"""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from kubernetes import client as kubernetes

from imaging.data.sources import s3_client
from imaging.registry.session import signed_in
from imaging.settings import Settings
from serving.client import ChestXrayClient
from serving.errors import RefusedError
from serving.release.deployment import DIGEST, VERSION, DeploymentTarget
from serving.release.on_cluster import reconcile_on_cluster
from tests.e2e.torchserve_stand import until
from tests.e2e.two_versions import two_versions
from tests.serving.deployment_api import DeploymentApi
from tests.serving.factories import chest, dicom
from thorax.stack import probe
from thorax.stack.environment import environment, settings_for
from thorax.stack.places import DEFAULT_PORTS, Addresses, Places, save_ports

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.beside,
    pytest.mark.timeout(900),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning"),
]
PORTS = {name: 21800 + number for number, name in enumerate(DEFAULT_PORTS)}


@pytest.fixture(scope="module")
def stack_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Registry, bucket and record: a stack with two registered versions."""
    with two_versions(tmp_path_factory.mktemp("cluster"), steps=[]) as home:
        yield home


class Pod:
    """One pod: its home, what its containers are given, and those that run."""

    def __init__(self, home: Path, stack_home: Path, told: dict[str, str]) -> None:
        self.home, self.running = home, []
        home.mkdir(parents=True)
        save_ports(Places.of(home), PORTS)
        reach = environment(stack_home, "controller")
        for name in ("THORAX_SERVING_URL", "THORAX_MANAGEMENT_URL", "THORAX_SERVING_KEYS"):
            reach.pop(name)
        own = {"THORAX_HOME": str(home), "THORAX_SIGNATURE_KEY": str(stack_home / "keys" / "signing.pub")}
        self.environment = {**os.environ, **reach, **own, **told, "THORAX_AUDIT": str(stack_home / "audit")}
        self.environment["THORAX_METRICS_LISTEN"] = "127.0.0.3"

    def run(self, part: str, **more: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "thorax.stack.pod", part]
        environment = {**self.environment, **more}
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)

    def start(self, part: str) -> "subprocess.Popen[bytes]":
        process = subprocess.Popen([sys.executable, "-m", "thorax.stack.pod", part], env=self.environment)
        self.running.append(process)
        return process

    def probe(self, part: str) -> bool:
        port = str(PORTS["management" if part == "torchserve" else "inference"])
        command = [sys.executable, "-I", probe.__file__, part, port]
        return subprocess.run(command, env=self.environment, capture_output=True, check=False).returncode == 0

    def client(self) -> ChestXrayClient:
        at = Addresses.of(PORTS).inference
        keys = Places.of(self.home).key_file
        return ChestXrayClient.from_settings(Settings(serving_url=at, serving_keys=keys))

    def end(self) -> list[int]:
        for process in self.running:
            process.send_signal(signal.SIGTERM)
        return [process.wait(90) for process in self.running]


@contextmanager
def told_by_the_controller(stack_home: Path) -> Iterator[DeploymentApi]:
    """The stand-in Deployment, told by the real release step what to serve."""
    with DeploymentApi() as api:
        threading.Thread(target=api.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        configuration = kubernetes.Configuration(host=f"http://127.0.0.1:{api.server_port}")
        target = DeploymentTarget(
            "thorax-serving", "chest-xray", api=kubernetes.AppsV1Api(kubernetes.ApiClient(configuration))
        )
        api.reconcile = lambda: reconcile_on_cluster(settings_for(stack_home, "controller"), target)  # type: ignore[attr-defined]
        yield api
        api.shutdown()


def env_of(api: DeploymentApi) -> dict[str, str]:
    first = api.deployment["spec"]["template"]["spec"]["initContainers"][0]
    return {one["name"]: one["value"] for one in first["env"]}


def test_a_pod_serves_what_the_release_told_it_and_its_log_comes_to_the_bucket(
    stack_home: Path, tmp_path: Path
) -> None:
    with told_by_the_controller(stack_home) as api:
        with signed_in(settings_for(stack_home, "approver")) as client:
            client.set_registered_model_alias("chest-xray", "champion", "1")
        until(lambda: api.reconcile().outcome == "rolling_out" and api.told == "1", within_s=30)
        told = env_of(api)
        pod = Pod(tmp_path / "pod", stack_home, told)
        assert not pod.probe("torchserve")
        fetched = pod.run("fetch")
        assert fetched.returncode == 0, fetched.stderr
        for part in ("torchserve", "edge", "log"):
            pod.start(part)
        try:
            until(lambda: pod.probe("torchserve") and pod.probe("edge"), within_s=180)
            smoke = pod.run("smoke")
            assert smoke.returncode == 0, smoke.stderr
            api.roll_out()
            assert api.reconcile().outcome in {"released", "unchanged"}
            answer = pod.client().predict(dicom(chest()), request_id="asked-in-a-pod")
            assert (answer.model.version, answer.model.digest) == ("1", told[DIGEST])
            with pytest.raises(RefusedError) as refused:
                pod.client().predict(b"no image", request_id="refused-in-a-pod")
            assert refused.value.code in {"malformed_image", "unsupported_media_type"}
            figures = httpx.get(f"http://127.0.0.3:{PORTS['metrics']}/metrics", timeout=10).text
            assert "ts_queue_latency_microseconds" in figures
        finally:
            statuses = pod.end()
        assert statuses == [0, 0, 0]
    settings = settings_for(stack_home, "trainer")
    kept = s3_client(settings).list_objects_v2(Bucket=settings.predictions_bucket, Prefix="date=")
    assert any("model_version=1/" in item["Key"] for item in kept.get("Contents", []))


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ({VERSION: "1", DIGEST: "sha256:" + "0" * 64}, "model_package"),
        ({VERSION: "1", DIGEST: ""}, "configuration"),
        ({VERSION: "77", DIGEST: "sha256:" + "0" * 64}, "not_found"),
    ],
)
def test_a_pod_that_is_told_what_is_not_so_gets_no_model(
    stack_home: Path, tmp_path: Path, told: dict[str, str], says: str
) -> None:
    pod = Pod(tmp_path / "pod", stack_home, told)
    fetched = pod.run("fetch")
    assert fetched.returncode == 1
    assert says in fetched.stderr
    assert not list(Places.of(pod.home).model_store.glob("*.mar"))


def test_a_pod_serves_nothing_that_a_stranger_signed(stack_home: Path, tmp_path: Path) -> None:
    with signed_in(settings_for(stack_home, "trainer")) as client:
        digest = client.get_model_version("chest-xray", "1").tags["package.digest"]
    pod = Pod(tmp_path / "pod", stack_home, {VERSION: "1", DIGEST: digest})
    other = tmp_path / "other.pub"
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    other.write_bytes(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    fetched = pod.run("fetch", THORAX_SIGNATURE_KEY=str(other))
    assert fetched.returncode == 1
    assert "signature" in fetched.stderr
    assert not list(Places.of(pod.home).model_store.glob("*.mar"))
