"""The real MLflow application with our authorization function, asked through its own test client."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from audit import AuditLog

PASSWORD = "a password of this test"
CONFIG = """[mlflow]
default_permission = EDIT
database_uri = sqlite:///{folder}/users.db
admin_username = admin
authorization_function = serving.registry_server.authorization:authorize
auth_cache_ttl_seconds = 60
"""

Ask = Callable[..., Any]


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """MLflow's application on databases of its own, with five users."""
    folder = tmp_path_factory.mktemp("registry")
    (folder / "basic_auth.ini").write_text(CONFIG.format(folder=folder), encoding="utf-8")
    before = dict(os.environ)
    os.environ |= {
        "MLFLOW_AUTH_CONFIG_PATH": str(folder / "basic_auth.ini"),
        "MLFLOW_AUTH_ADMIN_PASSWORD": PASSWORD,
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "only for this test",
    }
    try:
        from serving.registry_server.__main__ import build_app, create_database, tell_workers

        tell_workers(str(folder / "mlflow.db"), str(folder / "artifacts"))
        create_database(str(folder / "mlflow.db"))
        build_app()
        from mlflow.server import app, auth, handlers

        for name in ("trainer", "approver", "controller", "somebody"):
            auth.store.create_user(name, PASSWORD)
        handlers._get_model_registry_store().create_registered_model("chest-xray")
        yield app
        auth.store.engine.dispose()
        handlers._get_model_registry_store().engine.dispose()
    finally:
        os.environ.clear()
        os.environ |= before


@pytest.fixture
def log(home: Path) -> AuditLog:
    return AuditLog(home / "audit")


@pytest.fixture
def ask(registry: Any, home: Path) -> Ask:
    def call(user: str, method: str, path: str, body: Any = None, *, api: str = "api", **more: Any) -> Any:
        text = {} if body is None else {"data": json.dumps(body), "content_type": "application/json"}
        more.setdefault("auth", (user, PASSWORD) if user else None)
        return registry.test_client().open(f"/{api}/2.0/mlflow/{path}", method=method, **{**text, **more})

    return call
