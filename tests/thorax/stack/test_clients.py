"""Integrations get, change and lose their tokens; nothing but the folder of the edge holds one."""

import json
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from audit import AuditLog, default_folder
from imaging.errors import ConfigurationError, NotFoundError
from thorax.cli import app
from thorax.stack.clients import NAME, Clients
from thorax.stack.places import Places


@pytest.fixture
def clients(home: Path) -> Clients:
    return Clients(Places.of(home), actor="admin")


def test_a_client_is_added_changed_and_revoked_and_each_is_on_record_without_its_token(clients):
    first = clients.add("pacs-main")
    second = clients.rotate("pacs-main")
    assert [(one.name, one.tokens) for one in clients.all()] == [("pacs-main", 2)]
    assert clients.retire("pacs-main") == 1
    assert [path.name for path in clients.folder.iterdir()] == [second]
    assert clients.retire("pacs-main") == 0
    assert clients.revoke("pacs-main") == 1
    assert clients.all() == []
    events = AuditLog(default_folder(clients.places.home)).events()
    recorded = [(event.actor, event.subject, event.details["did"]) for event in events]
    did = ["added", "rotated", "retired older tokens", "revoked"]
    assert recorded == [("admin", "client pacs-main", one) for one in did]
    assert not any(token in str(event) for event in events for token in (first, second))


def test_a_token_has_256_random_bits_and_only_its_owner_reads_its_file(clients):
    tokens = {clients.add(f"c{number}") for number in range(5)}
    assert len(tokens) == 5
    assert all(len(token.partition(".")[2]) == 43 for token in tokens)
    assert stat.S_IMODE(clients.folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in clients.folder.iterdir()} == {0o600}


def test_a_client_whose_name_begins_like_another_is_another(clients):
    clients.add("pacs")
    clients.add("pacs-main")
    clients.revoke("pacs")
    assert [one.name for one in clients.all()] == ["pacs-main"]


@given(st.text(max_size=40))
def test_a_name_that_could_be_a_path_or_a_pattern_is_refused(name):
    if NAME.fullmatch(name):
        return
    with pytest.raises(ConfigurationError, match="a client's name"):
        Clients(Places(Path("/nowhere"))).add(name)


def test_what_there_is_not_is_said_with_what_there_is(clients):
    clients.add("pacs-main")
    with pytest.raises(ConfigurationError, match="thorax clients rotate pacs-main"):
        clients.add("pacs-main")
    for change in (clients.rotate, clients.retire, clients.revoke):
        with pytest.raises(NotFoundError, match="there are: pacs-main"):
            change("ris")


def test_the_command_shows_a_token_once_and_never_in_a_list(home):
    run = CliRunner().invoke
    made = json.loads(run(app, ["clients", "add", "pacs-main", "--json"]).stdout)
    assert made["token"].startswith("pacs-main.")
    assert made["token"] in {path.name for path in Places.of(home).clients.iterdir()}
    listed = run(app, ["clients", "list"])
    assert "pacs-main" in listed.stdout
    assert made["token"] not in listed.stdout
    assert json.loads(run(app, ["clients", "revoke", "pacs-main", "--json"]).stdout)["forgotten"] == 1
    assert json.loads(run(app, ["clients", "list", "--json"]).stdout) == []
