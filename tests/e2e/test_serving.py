"""A real TorchServe: release into it, ask it, hurt it. Token authorisation is on, as in production."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx
import numpy as np
import pytest

from audit import AuditLog
from audit.predictions import read_spool
from imaging.data.transforms import to_square_uint8
from imaging.dicom.pixels import decode
from imaging.inference import Predictor
from serving.client import ChestXrayClient
from serving.errors import AccessDeniedError, RefusedError
from serving.record import ReleaseRecord
from serving.release import Release, ReleaseResult
from serving.smoke import smoke_test
from serving.tokens import authorization
from serving.torchserve import ManagementClient
from tests.serving.factories import SIZE, MemoryRegistry, bad_bytes, chest, dicom, jpeg, png, write_package

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

PORTS = ("inference", "management", "metrics", "grpc_inference", "grpc_management")


@dataclass
class Stand:
    """A running TorchServe with everything a release needs."""

    home: Path
    client: ChestXrayClient
    management: ManagementClient
    registry: MemoryRegistry
    packages: dict[str, Path]

    @property
    def url(self) -> str:
        return self.client.url

    def reconcile(self) -> ReleaseResult:
        return Release(
            folder=self.home / "release",
            store=self.home / "model-store",
            champion=self.registry.champion,
            registry=self.registry,
            server=self.management,
            record=ReleaseRecord(AuditLog(self.home / "audit")),
            smoke_test=partial(smoke_test, self.client),
        ).run()

    def approve(self, version: str) -> ReleaseResult:
        """Record gates and approval and move the alias, as the pipeline and the registry's server do."""
        log, digest = AuditLog(self.home / "audit"), self.registry.tag(version, "package.digest")
        log.append("gate.evaluated", actor="trainer", subject=digest, details={"gate": "all", "passed": True})
        log.append("model.approved", actor="approver", subject=f"chest-xray/{version}", details={})
        self.registry.aliases["champion"] = version
        return self.reconcile()

    def post(self, data: bytes, **headers: str) -> httpx.Response:
        """One request as curl sends it, never tried again."""
        sent = {"Content-Type": "application/octet-stream", **authorization(self.client.keys, "inference"), **headers}
        return httpx.post(f"{self.url}/predictions/chest-xray", content=data, headers=sent, timeout=60)

    def worker_pids(self) -> list[int]:
        token = authorization(self.management.keys, "management")
        described = httpx.get(f"{self.management.url}/models/chest-xray", headers=token, timeout=30).json()
        return [worker["pid"] for entry in described for worker in entry["workers"] if worker["status"] == "READY"]


def free_ports() -> dict[str, int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in PORTS]
    ports = {name: one.getsockname()[1] for name, one in zip(PORTS, sockets, strict=True)}
    for one in sockets:
        one.close()
    return ports


def configure(home: Path, ports: dict[str, int]) -> Path:
    lines = [f"{name}_address=http://127.0.0.1:{ports[name]}" for name in PORTS[:3]]
    for name in PORTS[3:]:
        lines += [f"{name}_address=127.0.0.1", f"{name}_port={ports[name]}"]
    lines += [
        f"model_store={home / 'model-store'}",
        f"allowed_urls=file://{home / 'model-store'}/.*",
        "enable_model_api=true",
        "max_request_size=1048576",
        f"vmargs=-Djava.io.tmpdir={home / 'tmp'} -Xmx256m",
    ]
    path = home / "config.properties"
    path.write_text("\n".join(lines) + "\n")
    return path


def start_torchserve(home: Path, ports: dict[str, int]) -> subprocess.Popen:
    for folder in ("model-store", "tmp"):
        (home / folder).mkdir(parents=True)
    environment = {
        **os.environ,
        "THORAX_HOME": str(home),
        "TMPDIR": str(home / "tmp"),
        "TS_DECODE_INPUT_REQUEST": "false",
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-c", "from ts.model_server import start; start()", "--start", "--foreground"]
    command += ["--ts-config", str(configure(home, ports)), "--model-store", str(home / "model-store")]
    with (home / "torchserve.log").open("wb") as log:
        return subprocess.Popen(
            command, cwd=home, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    home = tmp_path_factory.mktemp("ts")
    ports = free_ports()
    process = start_torchserve(home, ports)
    try:
        yield prepare(home, ports)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(30)


def prepare(home: Path, ports: dict[str, int]) -> Stand:
    keys = home / "key_file.json"
    registry, packages = MemoryRegistry(), {}
    for number in (1, 2):
        packages[str(number)] = home / f"package-{number}"
        registry.add(str(number), packages[str(number)], write_package(packages[str(number)], seed=number))
    client = ChestXrayClient(url=f"http://127.0.0.1:{ports['inference']}", keys=keys)
    management = ManagementClient(url=f"http://127.0.0.1:{ports['management']}", keys=keys, attempts=8)
    stand = Stand(home, client, management, registry, packages)
    until(lambda: stand.reconcile().outcome == "unchanged", within_s=90)
    return stand


@pytest.fixture
def served(stand: Stand) -> Stand:
    """Version 1 serves."""
    stand.approve("1")
    assert stand.management.default() == "1"
    return stand


def until(holds, *, within_s: float) -> None:
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline, f"did not become true within {within_s} s"
        time.sleep(0.2)


def test_an_approved_version_is_released_and_answers_as_its_predictor(served):
    predictor = Predictor.load(served.packages["1"])
    for data in (dicom(chest(3, 160)), png(chest(4, 200)), jpeg(chest(5))):
        answer = served.client.predict(data, request_id="same")
        square = to_square_uint8(decode(data).pixels, SIZE)
        expected = predictor.probabilities(square[None])[0]
        np.testing.assert_allclose(list(answer.probabilities.values()), expected, atol=1e-5)
        assert (answer.model.version, answer.request_id) == ("1", "same")


def test_an_explanation_is_drawn_when_asked_for(served):
    answer = served.client.predict(dicom(), explain="grad-cam++")
    assert answer.explanation is not None
    assert answer.explanation.method == "grad-cam++"


@pytest.mark.parametrize("name", [name for name in bad_bytes() if name != "too many pixels"])
def test_bad_bytes_get_their_code_over_http(served, name):
    data, status, code = bad_bytes()[name]
    response = served.post(data, **{"Content-Type": "application/json" if name == "JSON" else "image/png"})
    declared_png = name in ("text", "GIF")  # bytes that are not what they are said to be
    assert (response.status_code, response.json()["code"]) == (
        (400, "malformed_image") if declared_png else (status, code)
    )


def test_more_bytes_than_the_server_takes_are_refused(served):
    with pytest.raises(RefusedError) as caught:
        served.client.predict(bytes(2 * 2**20))
    assert caught.value.code == "image_too_large"


@pytest.mark.parametrize("token", [{}, {"Authorization": "Bearer nonsense"}], ids=["none", "wrong"])
def test_without_the_token_nothing_is_answered(served, token):
    for method, url in (("POST", f"{served.url}/predictions/chest-xray"), ("GET", f"{served.management.url}/models")):
        response = httpx.request(method, url, content=dicom(), headers=token, timeout=30)
        assert response.status_code in (400, 401, 403)  # TorchServe 0.12 says 400 InvalidKeyException
        assert "probabilities" not in response.text
    keys = served.home / "wrong_keys.json"
    keys.write_text(json.dumps({"inference": {"key": "x"}}))
    with pytest.raises(AccessDeniedError):
        ChestXrayClient(url=served.url, keys=keys).predict(dicom())


def test_the_service_recovers_from_a_killed_worker(served):
    for pid in served.worker_pids():
        os.kill(pid, signal.SIGKILL)
    until(lambda: served.post(dicom()).status_code == 200, within_s=120)


def test_every_request_is_in_the_prediction_log(served):
    served.client.predict(dicom(), request_id="logged-1")
    assert served.post(b"no image", **{"X-Request-Id": "logged-2"}).status_code == 415
    rows = {row["request_id"]: row for row in read_spool(served.home / "predictions" / "spool")}
    assert rows["logged-1"]["prediction"]
    assert rows["logged-2"]["refusal_code"] == "unsupported_media_type"


def test_a_new_champion_takes_over_without_a_failed_request(served):
    data, versions, failures, stop = png(chest()), [], [], threading.Event()

    def ask() -> None:
        while not stop.is_set():
            response = served.post(data)
            if response.status_code == 200:
                versions.append(response.json()["model"]["version"])
            else:
                failures.append(response.text)

    asking = [threading.Thread(target=ask) for _ in range(2)]
    for thread in asking:
        thread.start()
    try:
        assert served.approve("2").outcome == "released"
        until(lambda: versions[-1:] == ["2"], within_s=30)
    finally:
        stop.set()
        for thread in asking:
            thread.join()
    assert failures == []
    assert set(versions) == {"1", "2"}
    assert set(served.management.loaded()) == {"2"}


def test_a_wrong_reference_answer_keeps_the_old_version_serving(served):
    from imaging.models.directory import package_digest

    package = served.home / "package-3"
    write_package(package, seed=3)
    (package / "reference_answer.json").write_text('{"probabilities": {"normal": 1, "pneumonia": 0, "covid": 0}}')
    served.registry.add("3", package, package_digest(package))
    result = served.approve("3")
    assert (result.outcome, result.serving) == ("rolled_back", "1")
    assert served.client.predict(dicom()).model.version == "1"
    assert served.registry.aliases["champion"] == "1"
