"""MLflow with its basic-auth app on SQLite, artifacts in the S3 API; and its users and their rights."""

import os
from typing import Any

import httpx

from imaging.errors import ServiceError
from thorax.stack.places import LOOPBACK
from thorax.stack.site import TELEMETRY_OFF, Site, ask

MODEL = "chest-xray"
RIGHTS = {"trainer": "EDIT", "approver": "EDIT", "controller": "MANAGE"}
"""On the registered model. MLflow asks MANAGE of who takes an alias away, which the controller does when it puts one
back; who may move which alias is `serving.registry_server`'s part."""
SET_UP_TIMEOUT_S = 20.0


def command(site: Site) -> list[str]:
    """One process; see `serving.registry_server.__main__`."""
    return [site.python, "-P", "-m", "serving.registry_server"]


def variables(site: Site) -> dict[str, str]:
    """Where it listens and keeps things, who administers it, and what it does not do."""
    keys, folder = site.credentials, site.places.home / "mlflow"
    return {
        **TELEMETRY_OFF,
        "THORAX_HOME": str(site.places.home),
        "THORAX_APPROVERS": "approver",
        "THORAX_APPROVAL_MEANING": os.environ.get("THORAX_APPROVAL_MEANING", ""),
        "THORAX_REGISTRY_DATABASE": str(folder / "mlflow.db"),
        "THORAX_REGISTRY_ADDRESS": f"{LOOPBACK}:{site.ports['mlflow']}",
        "THORAX_REGISTRY_ARTIFACTS": "s3://mlflow",
        "MLFLOW_AUTH_CONFIG_PATH": str(folder / "basic_auth.ini"),
        "MLFLOW_AUTH_ADMIN_PASSWORD": keys.mlflow["admin"],
        "MLFLOW_FLASK_SERVER_SECRET_KEY": keys.flask_key,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_ENABLE_AI_GATEWAY": "false",
        "MLFLOW_S3_ENDPOINT_URL": site.addresses.s3,
        "AWS_ACCESS_KEY_ID": keys.s3_access_key,
        "AWS_SECRET_ACCESS_KEY": keys.s3_secret_key,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def config(site: Site) -> str:
    """`basic_auth.ini`; a password is checked once a minute, not at each call, and at once when it changed."""
    own = f"sqlite:///{site.places.home / 'mlflow' / 'users.db'}"
    database = os.environ.get("THORAX_REGISTRY_USERS_DATABASE", own).replace("%", "%%")
    return "\n".join(
        (
            "[mlflow]",
            "default_permission = READ",
            f"database_uri = {database}",
            "admin_username = admin",
            "authorization_function = serving.registry_server.authorization:authorize",
            "grant_default_workspace_access = false",
            "auth_cache_ttl_seconds = 60",
            "",
        )
    )


def prepare(site: Site) -> None:
    """Write `basic_auth.ini`."""
    folder = site.places.home / "mlflow"
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    (folder / "basic_auth.ini").write_text(config(site), encoding="utf-8")


def is_ready(site: Site) -> bool:
    """Whether it answers."""
    answer = ask("GET", f"{site.addresses.mlflow}/health")
    return answer is not None and answer.is_success


def set_up(site: Site) -> None:
    """Create the users, the registered model and the rights, or mend them; and see that strangers are refused.

    The administrator makes the model, because MLflow lets the maker of a model do everything with it.

    Raises:
        ServiceError: MLflow refuses a step, or lets somebody in without a password.
    """
    stranger = ask("GET", f"{site.addresses.mlflow}/api/2.0/mlflow/users/list")
    if stranger is None or stranger.status_code != httpx.codes.UNAUTHORIZED:
        raise ServiceError("MLflow does not refuse a caller without a password; see `thorax logs mlflow`")
    known = {user["username"] for user in _call(site, "GET", "2.0/mlflow/users/list")["users"]}
    for name in RIGHTS:
        login = {"username": name, "password": site.credentials.mlflow[name]}
        if name not in known:
            _call(site, "POST", "2.0/mlflow/users/create", login)
        elif not _can_log_in(site, name):
            _call(site, "PATCH", "2.0/mlflow/users/update-password", login)
    _call(site, "POST", "2.0/mlflow/registered-models/create", {"name": MODEL}, fine="RESOURCE_ALREADY_EXISTS")
    for name, permission in RIGHTS.items():
        right = {"username": name, "permission": permission, "resource_type": "registered_model", "resource_id": MODEL}
        _call(site, "POST", "3.0/mlflow/users/permissions/grant", right, fine="RESOURCE_ALREADY_EXISTS")


def _can_log_in(site: Site, name: str) -> bool:
    url = f"{site.addresses.mlflow}/api/2.0/mlflow/users/current"
    answer = ask("GET", url, auth=(name, site.credentials.mlflow[name]), timeout_s=SET_UP_TIMEOUT_S)
    return answer is not None and answer.is_success


def _call(site: Site, method: str, path: str, body: dict[str, str] | None = None, *, fine: str = "") -> dict[str, Any]:
    """Ask as the administrator; an error with the code `fine` is none."""
    admin = ("admin", site.credentials.mlflow["admin"])
    url = f"{site.addresses.mlflow}/api/{path}"
    answer = ask(method, url, auth=admin, json=body, timeout_s=SET_UP_TIMEOUT_S)
    if answer is None:
        raise ServiceError(f"MLflow does not answer {path}; see `thorax logs mlflow`")
    if answer.is_success or (fine and fine in answer.text):
        return answer.json()
    raise ServiceError(f"MLflow answered HTTP {answer.status_code} to {path}: {answer.text[:200]}")
