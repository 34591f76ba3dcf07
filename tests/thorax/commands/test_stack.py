import pytest
import typer
from typer.testing import CliRunner

from imaging.errors import ServiceError
from thorax import stack
from thorax.commands.stack import up
from thorax.stack.credentials import Credentials, are_shown, load_credentials, load_or_create_credentials
from thorax.stack.places import DEFAULT_PORTS, Addresses, Places

RUNNER = CliRunner()


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> typer.Typer:
    """`thorax up` over a stack that makes its passwords and starts no server."""

    def start(home, *, on_event=None) -> Addresses:
        load_or_create_credentials(Places.of(home))
        return Addresses.of(DEFAULT_PORTS)

    monkeypatch.setattr(stack, "up", start)
    made = typer.Typer()
    made.command()(up)
    return made


def shown(app: typer.Typer, places: Places, *options: str) -> bool:
    result = RUNNER.invoke(app, options)
    assert result.exit_code == 0, result.output
    passwords = load_credentials(places).mlflow.values()
    found = [password in result.stderr for password in passwords]
    assert not any(password in result.stdout for password in passwords)
    assert len(set(found)) == 1
    return found[0]


def test_the_passwords_are_shown_at_the_first_start_and_no_more(app, home):
    assert shown(app, Places.of(home))
    assert not shown(app, Places.of(home))


def test_passwords_that_another_command_made_are_shown_at_the_first_start(app, home):
    stack.up(home)
    assert not are_shown(Places.of(home))
    assert shown(app, Places.of(home))


def test_a_first_start_that_fails_shows_them_later(app, home, monkeypatch):
    def fail(home, *, on_event=None) -> Addresses:
        load_or_create_credentials(Places.of(home))
        raise ServiceError("cut off")

    with monkeypatch.context() as broken:
        broken.setattr(stack, "up", fail)
        assert isinstance(RUNNER.invoke(app).exception, ServiceError)
    assert shown(app, Places.of(home))


def test_passwords_that_replaced_a_torn_file_are_shown_again(app, home):
    assert shown(app, Places.of(home))
    Places.of(home).credentials.write_text("{", encoding="utf-8")
    assert shown(app, Places.of(home))


def test_the_mark_holds_no_secret_and_is_its_owners(app, home):
    shown(app, Places.of(home))
    places = Places.of(home)
    kept: Credentials = load_credentials(places)
    text = places.credentials_shown.read_text(encoding="utf-8")
    assert not any(secret in text for secret in [*kept.mlflow.values(), kept.s3_secret_key, kept.flask_key])
    assert places.credentials_shown.stat().st_mode & 0o077 == 0
