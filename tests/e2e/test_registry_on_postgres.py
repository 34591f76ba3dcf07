"""The registry on a real PostgreSQL, as a cluster runs it: the same users, rights and rules."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from audit import AuditLog
from imaging.errors import ReleaseRefusedError
from imaging.registry.session import signed_in
from imaging.settings import Settings
from tests.e2e.postgres_stand import PASSWORD, postgres_stand
from tests.e2e.torchserve_stand import until
from thorax.stack.places import DEFAULT_PORTS, Places, save_ports

pytestmark = [pytest.mark.e2e, pytest.mark.beside, pytest.mark.timeout(300)]
PORTS = {name: 21820 + number for number, name in enumerate(DEFAULT_PORTS)}
POSTGRES = 21839
ROLES = ("admin", "trainer", "approver", "controller")


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    """A new PostgreSQL with two empty databases; its address without their names."""
    with postgres_stand(POSTGRES, "the registry is looked at on SQLite alone") as postgres:
        assert postgres.ask("create database mlflow").returncode == 0
        assert postgres.ask("create database users").returncode == 0
        yield postgres.address("").removesuffix("/")


@pytest.fixture(scope="module")
def home(database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The registry's part of a pod, on that database."""
    home = tmp_path_factory.mktemp("registry")
    save_ports(Places.of(home), PORTS)
    own = {f"THORAX_PASSWORD_{role.upper()}": f"{role}-{PASSWORD}" for role in ROLES}
    own |= {"THORAX_HOME": str(home), "THORAX_AUDIT": str(home / "audit"), "THORAX_FLASK_KEY": "k" * 32}
    own |= {"THORAX_REGISTRY_DATABASE": f"{database}/mlflow", "THORAX_REGISTRY_USERS_DATABASE": f"{database}/users"}
    command = [sys.executable, "-m", "thorax.stack.pod", "mlflow"]
    process = subprocess.Popen(command, env={**os.environ, **own})
    try:
        until(lambda: _is_set_up(process), within_s=180)
        yield home
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


def _is_set_up(process: "subprocess.Popen[bytes]") -> bool:
    assert process.poll() is None
    url = f"http://127.0.0.1:{PORTS['mlflow']}/api/2.0/mlflow/registered-models/get?name=chest-xray"
    try:
        return httpx.get(url, auth=("controller", f"controller-{PASSWORD}"), timeout=5).is_success
    except httpx.HTTPError:
        return False


def settings_of(role: str) -> Settings:
    at = f"http://127.0.0.1:{PORTS['mlflow']}"
    return Settings(mlflow_uri=at, mlflow_username=role, mlflow_password=f"{role}-{PASSWORD}")


def test_a_version_is_registered_and_approved_and_its_author_may_not_approve_it(home: Path) -> None:
    with signed_in(settings_of("trainer")) as client:
        run = client.create_run(client.create_experiment("train-classifier")).info.run_id
        tags = {"gates": "passed", "package.digest": "sha256:" + "1" * 64, "author": "trainer"}
        made = client.create_model_version("chest-xray", f"runs:/{run}/model", run_id=run, tags=tags)
        description = "## Gates\n" + "x" * 4900
        client.update_model_version("chest-xray", made.version, description)
    with pytest.raises(ReleaseRefusedError), signed_in(settings_of("trainer")) as client:
        client.set_registered_model_alias("chest-xray", "champion", made.version)
    with signed_in(settings_of("approver")) as client:
        client.set_registered_model_alias("chest-xray", "champion", made.version)
        assert client.get_model_version_by_alias("chest-xray", "champion").version == made.version
    actions = [event.action for event in AuditLog(home / "audit").events()]
    assert "model.approved" in actions
    assert "access.denied" in actions or "approval.refused" in actions
