"""The stack with its real servers: up, up again, killed in every way, and down without a trace."""

import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import boto3
import httpx
import psutil
import pytest

from audit import AuditLog
from tests.e2e.torchserve_stand import until
from thorax import stack
from thorax.stack import processes
from thorax.stack.environment import environment
from thorax.stack.places import DEFAULT_PORTS, Places, load_ports
from thorax.stack.processes import ProcessRecord
from thorax.stack.servers import SERVERS

pytestmark = [pytest.mark.e2e, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

HANDLER = """
class Echo:
    manifest = None

    def initialize(self, context):
        self.manifest = context.manifest

    def handle(self, data, context):
        return ["echo" for _ in data]
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home whose stack is up; taken down at the end, whatever happened."""
    before = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("THORAX_")}
    home = tmp_path_factory.mktemp("stack") / "home"
    try:
        stack.up(home)
        yield home
    finally:
        stack.down(home)
        os.environ |= before


PROGRAM = "import sys; from pathlib import Path; from thorax import stack; stack.up(Path(sys.argv[1]))"
ROOT = Path(stack.__file__).parents[2]


def numbers(home: Path) -> dict[str, int | None]:
    return {server.name: server.pid for server in stack.status(home)}


def states(home: Path) -> dict[str, str]:
    return {server.name: server.state for server in stack.status(home)}


def ask(home: Path, role: str, method: str, path: str, **more) -> httpx.Response:
    found = environment(home, role)
    login = (role, found["THORAX_MLFLOW_PASSWORD"])
    return httpx.request(method, f"{found['THORAX_MLFLOW_URI']}/api/2.0/mlflow/{path}", auth=login, timeout=30, **more)


def bucket(home: Path):
    found = environment(home, "trainer")
    return boto3.client(
        "s3",
        endpoint_url=found["THORAX_S3_ENDPOINT"],
        aws_access_key_id=found["THORAX_S3_ACCESS_KEY"],
        aws_secret_access_key=found["THORAX_S3_SECRET_KEY"],
        region_name="us-east-1",
    )


def ready_workers(home: Path) -> list[int]:
    """Processes of TorchServe's Python workers that can answer."""
    found = environment(home, "controller")
    keys = json.loads(Path(found["THORAX_SERVING_KEYS"]).read_text(encoding="utf-8"))
    bearer = {"Authorization": f"Bearer {keys['management']['key']}"}
    answer = httpx.get(f"{found['THORAX_MANAGEMENT_URL']}/models/chest-xray", headers=bearer, timeout=10)
    workers = answer.json()[0]["workers"] if answer.is_success else []
    return [worker["pid"] for worker in workers if worker["status"] == "READY"]


def test_every_server_runs(place):
    assert states(place) == dict.fromkeys(SERVERS, "running")


def test_up_again_starts_nothing(place):
    before, events = numbers(place), []
    stack.up(place, on_event=events.append)
    assert numbers(place) == before
    assert {event.state for event in events} == {"running"}


def test_who_has_no_credentials_is_refused_everywhere(place):
    at = json.loads((place / "stack.json").read_text(encoding="utf-8"))
    assert httpx.get(f"{at['mlflow']['url']}/api/2.0/mlflow/registered-models/search").status_code == 401
    assert httpx.get(f"{at['s3']['url']}/mlflow").status_code in (400, 401, 403)
    assert httpx.get(f"{at['torchserve']['management']}/models").status_code in (400, 401, 403)
    answer = httpx.post(f"{at['torchserve']['inference']}/predictions/chest-xray", content=b"x")
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")


def test_everything_listens_on_loopback_alone(place):
    ours = {process.pid for _server, process in processes.marked(Places.of(place).stack_id)}
    listening = [item for item in psutil.net_connections("tcp") if item.status == "LISTEN" and item.pid in ours]
    assert len(listening) >= 7
    assert {item.laddr.ip.removeprefix("::ffff:") for item in listening} == {"127.0.0.1"}


def test_the_registry_keeps_its_artifacts_in_the_bucket(place):
    experiment = ask(place, "trainer", "POST", "experiments/create", json={"name": "artifacts"}).json()["experiment_id"]
    run = ask(place, "trainer", "POST", "runs/create", json={"experiment_id": experiment}).json()["run"]["info"]
    path = run["artifact_uri"].removeprefix("mlflow-artifacts:/")
    found = environment(place, "trainer")
    url = f"{found['THORAX_MLFLOW_URI']}/api/2.0/mlflow-artifacts/artifacts/{path}/model/weights"
    login = ("trainer", found["THORAX_MLFLOW_PASSWORD"])
    assert httpx.put(url, content=b"weights", auth=login, timeout=30).is_success
    keys = [entry["Key"] for entry in bucket(place).list_objects_v2(Bucket="mlflow")["Contents"]]
    assert keys == [f"{path}/model/weights"]


@pytest.mark.parametrize("name", list(SERVERS))
def test_a_killed_server_is_seen_and_started_again_and_nothing_is_lost(place, name):
    ask(place, "trainer", "POST", "experiments/create", json={"name": f"before killing {name}"})
    bucket(place).put_object(Bucket="datasets", Key=f"before/{name}", Body=b"kept")
    passwords = (place / "credentials.json").read_text(encoding="utf-8")
    before = numbers(place)
    os.kill(before[name], signal.SIGKILL)
    psutil.Process(before[name]).wait(5)
    assert states(place) == {**dict.fromkeys(SERVERS, "running"), name: "died"}
    stack.up(place)
    after = numbers(place)
    assert states(place) == dict.fromkeys(SERVERS, "running")
    started = {name, "edge"} if name == "torchserve" else {name}  # the edge passes TorchServe's new token on
    assert {server for server in SERVERS if after[server] != before[server]} == started
    query = f"experiments/get-by-name?experiment_name=before killing {name}"
    assert ask(place, "trainer", "GET", query).status_code == 200
    assert bucket(place).get_object(Bucket="datasets", Key=f"before/{name}")["Body"].read() == b"kept"
    assert (place / "credentials.json").read_text(encoding="utf-8") == passwords


def make_echo(archive_path: Path) -> None:
    """Write the smallest archive that TorchServe serves."""
    with zipfile.ZipFile(archive_path, "w") as archive:
        model = {"modelName": "chest-xray", "modelVersion": "1.0", "handler": "echo.py"}
        manifest = {"runtime": "python", "model": model, "archiverVersion": "0.12.0"}
        archive.writestr("MAR-INF/MANIFEST.json", json.dumps(manifest))
        archive.writestr("echo.py", HANDLER)


def test_a_release_loads_from_the_model_store_and_nobody_from_elsewhere(place, tmp_path):
    found = environment(place, "controller")
    keys = json.loads(Path(found["THORAX_SERVING_KEYS"]).read_text(encoding="utf-8"))
    bearer = {"Authorization": f"Bearer {keys['management']['key']}"}
    store = Places.of(place).model_store
    make_echo(tmp_path / "elsewhere.mar")
    make_echo(store / "inside.mar")

    def register(url: str) -> int:
        query = {"url": url, "initial_workers": "0", "model_name": "inside"}
        address = f"{found['THORAX_MANAGEMENT_URL']}/models"
        return httpx.post(address, params=query, headers=bearer, timeout=30).status_code

    up = "../" * 3
    for outside in (
        f"file://{tmp_path}/elsewhere.mar",
        "http://127.0.0.1:9/x.mar",
        f"{up}{tmp_path.name}/elsewhere.mar",
    ):
        assert 400 <= register(outside) < 500
    assert register("inside.mar") == 200
    url = f"{found['THORAX_MANAGEMENT_URL']}/models/inside"
    assert httpx.delete(url, headers=bearer, timeout=30).status_code == 200


def test_what_should_serve_serves_after_a_kill_and_no_orphaned_worker_stays(place):
    places = Places.of(place)
    make_echo(places.model_store / "echo.mar")
    os.kill(numbers(place)["controller"], signal.SIGSTOP)  # it would unload what no release asked for
    served = {"serving": {"version": "1.0", "digest": "none", "archive": "echo.mar"}}
    state = places.home / "release" / "state.json"
    try:
        state.write_text(json.dumps(served), encoding="utf-8")
        workers: list[list[int]] = []
        for _round in range(2):
            os.kill(numbers(place)["torchserve"], signal.SIGKILL)
            psutil.Process(numbers_of_record(places, "torchserve")).wait(5)
            stack.up(place)
            workers.append(ready_workers(place))
        assert [len(found) for found in workers] == [1, 1]
        assert not psutil.pid_exists(workers[0][0])
    finally:
        state.unlink()
        os.kill(numbers(place)["controller"], signal.SIGCONT)
    owned = [server for server, _process in processes.marked(places.stack_id)]
    assert owned.count("torchserve") == 2


def numbers_of_record(places: Places, name: str) -> int:
    record = ProcessRecord.load(places.record(name))
    assert record is not None
    return record.pid


def test_torn_files_are_mended_and_the_new_passwords_work(place):
    places = Places.of(place)
    for torn in (places.addresses, places.credentials, *(places.record(name) for name in SERVERS)):
        torn.write_bytes(torn.read_bytes()[: torn.stat().st_size // 2])
    stack.up(place)
    assert states(place) == dict.fromkeys(SERVERS, "running")
    for role in ("admin", "trainer", "approver", "controller"):
        assert ask(place, role, "GET", "experiments/get-by-name?experiment_name=artifacts").status_code == 200
    # TorchServe's own starter lives a moment longer than its start
    until(lambda: len(processes.marked(places.stack_id)) == len(SERVERS), within_s=30)


@pytest.mark.parametrize("after_s", [0.4, 1.5, 4.0])
def test_an_up_that_is_killed_is_finished_by_the_next(place, after_s):
    stack.down(place)
    with subprocess.Popen([sys.executable, "-c", PROGRAM, str(place)], cwd=ROOT) as begun:
        time.sleep(after_s)
        begun.kill()
    stack.up(place)
    assert states(place) == dict.fromkeys(SERVERS, "running")
    assert len(processes.marked(Places.of(place).stack_id)) == len(SERVERS)
    assert ask(place, "approver", "GET", "registered-models/get?name=chest-xray").status_code == 200


def test_a_port_that_somebody_took_meanwhile_is_given_up(place):
    import socket

    stack.down(place)
    at = json.loads((place / "stack.json").read_text(encoding="utf-8"))
    port = int(at["s3"]["url"].rpartition(":")[2])
    events = []
    with socket.create_server(("127.0.0.1", port)):
        found = stack.up(place, on_event=events.append)
    assert not found.s3.endswith(f":{port}")
    assert any(str(port) in event and event.state == "ports" for event in events)
    assert bucket(place).get_object(Bucket="datasets", Key="before/s3")["Body"].read() == b"kept"
    assert stack.up(place) == found


def test_stacks_started_at_one_moment_share_no_port(place, tmp_path):
    homes = [tmp_path / "one", tmp_path / "two"]
    try:
        begun = [subprocess.Popen([sys.executable, "-c", PROGRAM, str(home)], cwd=ROOT) for home in homes]
        assert [process.wait(240) for process in begun] == [0, 0]
        assert [states(home) for home in (*homes, place)] == [dict.fromkeys(SERVERS, "running")] * 3
        ports = [port for home in (*homes, place) for port in (load_ports(Places.of(home)) or {}).values()]
        assert len(set(ports)) == len(ports) == 3 * len(DEFAULT_PORTS)
        for home in homes:
            assert ask(home, "trainer", "GET", "registered-models/get?name=chest-xray").status_code == 200
            assert bucket(home).list_objects_v2(Bucket="datasets")["Name"] == "datasets"
    finally:
        for home in homes:
            stack.down(home)


def test_the_record_names_each_start_and_verifies(place):
    log = AuditLog(place / "audit")
    assert log.verify().ok
    assert log.events(action="stack.started")[0].details["servers"] == sorted(SERVERS)


def test_down_leaves_no_process(place):
    marker = Places.of(place).stack_id
    assert processes.marked(marker)
    assert stack.down(place) == sorted(SERVERS)
    assert processes.marked(marker) == []
    assert states(place) == dict.fromkeys(SERVERS, "stopped")
    assert stack.down(place) == []
