"""The authorization function inside the real MLflow application, asked through its own test client."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from audit import AuditLog
from imaging.errors import ServiceError

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")

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

        tell_workers(folder / "mlflow.db", str(folder / "artifacts"))
        create_database(folder / "mlflow.db")
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


@pytest.fixture
def version(ask: Ask) -> str:
    """A version that the trainer registered."""
    return register(ask, "trainer")


def register(ask: Ask, user: str, **tags: str) -> str:
    pairs = [{"key": key, "value": value} for key, value in tags.items()]
    made = ask(user, "POST", "model-versions/create", {"name": "chest-xray", "source": "s3://x/y", "tags": pairs})
    assert made.status_code == 200, made.text
    return made.get_json()["model_version"]["version"]


def move(ask: Ask, user: str, version: str, alias: str = "champion", **more: Any) -> Any:
    body = {"name": "chest-xray", "alias": alias, "version": version}
    return ask(user, "POST", "registered-models/alias", body, **more)


def holder(ask: Ask, alias: str = "champion") -> str | None:
    model = ask("admin", "GET", "registered-models/get?name=chest-xray").get_json()["registered_model"]
    return {entry["alias"]: entry["version"] for entry in model.get("aliases", [])}.get(alias)


def test_a_stranger_is_asked_to_log_in_and_a_wrong_password_too(ask):
    assert ask("", "GET", "registered-models/search").status_code == 401
    assert ask("trainer", "GET", "registered-models/search", auth=("trainer", "wrong")).status_code == 401


@pytest.mark.parametrize("api", ["api", "ajax-api"])
def test_an_approval_moves_champion_and_is_on_record_once_with_who_gave_it(ask, version, log, api):
    assert move(ask, "approver", version, api=api).status_code == 200
    assert holder(ask) == version
    [event] = log.events()
    assert (event.actor, event.action, event.subject) == ("approver", "model.approved", f"chest-xray/{version}")
    assert event.details["author"] == "trainer"


@pytest.mark.parametrize("api", ["api", "ajax-api"])
@pytest.mark.parametrize("user", ["trainer", "admin", "somebody"])
def test_nobody_else_moves_champion_and_the_try_is_on_record(ask, version, log, api, user):
    before = holder(ask)
    refused = move(ask, user, version, api=api)
    assert refused.status_code == 403
    assert "approver" in refused.get_json()["message"]
    assert holder(ask) == before
    assert [(event.actor, event.action) for event in log.events()] == [(user, "access.denied")]


def test_an_approver_does_not_approve_their_own_version(ask, log):
    own = register(ask, "approver")
    assert move(ask, "approver", own).status_code == 403
    assert [(event.actor, event.action) for event in log.events()] == [("approver", "approval.refused")]


def test_the_server_itself_names_the_author(ask, version):
    found = ask("trainer", "GET", f"model-versions/get?name=chest-xray&version={version}").get_json()["model_version"]
    assert {"key": "author", "value": "trainer"} in found["tags"]


def test_a_version_in_anothers_name_is_refused(ask, log):
    tags = [{"key": "author", "value": "somebody"}]
    body = {"name": "chest-xray", "source": "s3://x/y", "tags": tags}
    assert ask("approver", "POST", "model-versions/create", body).status_code == 403
    assert [event.action for event in log.events()] == ["access.denied"]


@pytest.mark.parametrize(
    "body",
    [
        '"{\\"name\\": \\"chest-xray\\", \\"alias\\": \\"champion\\", \\"version\\": \\"VERSION\\"}"',
        '{"name": "chest-xray", "alias": "challenger", "version": "VERSION", "alias": "champion"}',
        '{"name": "chest-xray", "\\u0061lias": "champ\\u0069on", "version": "VERSION"}',
    ],
    ids=["encoded twice", "key given twice", "escaped"],
)
def test_a_request_written_oddly_is_read_as_the_handler_reads_it(ask, version, body):
    before = holder(ask)
    text = body.replace("VERSION", version)
    answer = ask("trainer", "POST", "registered-models/alias", data=text, content_type="application/json")
    assert answer.status_code == 403
    assert holder(ask) == before


def test_another_content_type_or_the_address_line_moves_nothing(ask, version):
    before = holder(ask)
    text = json.dumps({"name": "chest-xray", "alias": "champion", "version": version})
    for more in ({"data": text, "content_type": "text/plain"}, {"query_string": json.loads(text)}):
        assert ask("trainer", "POST", "registered-models/alias", **more).status_code >= 400
    assert holder(ask) == before


def test_a_version_that_is_not_there_is_neither_approved_nor_recorded(ask, log):
    assert move(ask, "approver", "9999").status_code == 404
    assert log.events() == []


def test_only_the_controller_writes_what_a_release_writes(ask, version):
    body = {"name": "chest-xray", "version": version, "key": "deployment.status", "value": "serving"}
    assert ask("trainer", "POST", "model-versions/set-tag", body).status_code == 403
    assert ask("controller", "POST", "model-versions/set-tag", body).status_code == 200
    assert move(ask, "trainer", version, "previous").status_code == 403
    assert move(ask, "controller", version, "previous").status_code == 200


def test_the_gates_tag_stays_as_it_was_registered(ask):
    failed = register(ask, "trainer", gates="failed")
    body = {"name": "chest-xray", "version": failed, "key": "gates", "value": "passed"}
    assert ask("trainer", "POST", "model-versions/set-tag", body).status_code == 403
    assert ask("admin", "DELETE", "model-versions/delete-tag", body | {"value": None}).status_code == 403


def test_another_user_neither_passes_a_gate_nor_gives_an_approval_its_meaning(ask, version, log):
    body = {"name": "chest-xray", "version": version, "value": "passed"}
    for key, allowed in (("gates", "trainer"), ("approval.meaning", "approver")):
        assert ask("somebody", "POST", "model-versions/set-tag", body | {"key": key}).status_code == 403
        assert ask(allowed, "POST", "model-versions/set-tag", body | {"key": key}).status_code == 200
    delete = {"name": "chest-xray", "version": version, "key": "approval.meaning"}
    assert ask("trainer", "DELETE", "model-versions/delete-tag", delete).status_code == 403
    assert {(event.actor, event.action) for event in log.events()} == {
        ("somebody", "access.denied"),
        ("trainer", "access.denied"),
    }


def test_what_serves_is_not_deleted_and_its_alias_not_taken_away(ask, version):
    assert move(ask, "approver", version).status_code == 200
    of_version = {"name": "chest-xray", "version": version}
    assert ask("admin", "DELETE", "model-versions/delete", of_version).status_code == 403
    assert ask("admin", "DELETE", "registered-models/delete", {"name": "chest-xray"}).status_code == 403
    renamed = {"name": "chest-xray", "new_name": "other"}
    assert ask("admin", "POST", "registered-models/rename", renamed).status_code == 403
    of_alias = {"name": "chest-xray", "alias": "champion"}
    assert ask("admin", "DELETE", "registered-models/alias", of_alias).status_code == 403
    assert holder(ask) == version


def test_nothing_is_approved_when_it_cannot_be_recorded(ask, version, home, monkeypatch):
    before = holder(ask)
    home.mkdir()
    (home / "audit").write_text("not a folder", encoding="utf-8")
    assert move(ask, "approver", version).status_code == 503
    assert holder(ask) == before


def test_another_approver_can_be_named(ask, version, monkeypatch):
    monkeypatch.setenv("THORAX_APPROVERS", "somebody, another")
    assert move(ask, "approver", version).status_code == 403
    assert move(ask, "somebody", version).status_code == 200


def test_an_mlflow_without_a_guarded_handler_does_not_start(registry, monkeypatch):
    from serving.registry_server import authorization

    authorization.check_routes()
    monkeypatch.setitem(authorization.GUARDED, "_renamed_handler", authorization.GUARDED["_delete_model_version"])
    with pytest.raises(ServiceError, match="_renamed_handler"):
        authorization.check_routes()
