"""`thorax models verify` on model directories; versions of a registry are looked at in tests/e2e."""

import json
import shutil

import pytest
from typer.testing import CliRunner

from imaging.models.signature import sign_package
from imaging.models.signing_key import public_key_path
from imaging.settings import Settings
from tests.serving.factories import write_light_package
from tests.signing import trust, trusted_key
from thorax.commands.models import app


@pytest.fixture
def package(tmp_path):
    write_light_package(tmp_path / "package")
    return tmp_path / "package"


def verify(*arguments) -> tuple[int, dict]:
    done = CliRunner().invoke(app, ["verify", *map(str, arguments), "--json"])
    return done.exit_code, json.loads(done.stdout)


def test_a_signed_package_verifies_by_the_homes_key(package, home):
    trust(home)
    code, answer = verify(package)
    assert (code, answer["verified"]) == (0, True)
    assert answer["signed by"].startswith("sha256:")


def test_a_public_key_can_be_given(package, home):
    assert verify(package, "--public-key", trusted_key())[0] == 0


def test_by_another_public_key_it_does_not_verify(package, home, tmp_path):
    other = Settings(home=tmp_path / "other")
    sign_package(shutil.copytree(package, tmp_path / "copy"), other)
    code, answer = verify(package, "--public-key", public_key_path(other))
    assert (code, answer["verified"], answer["code"]) == (1, False, "bad_signature")
    assert "another key" in answer["problem"]


def test_an_unsigned_package_fails_and_says_what_to_do(package, home):
    trust(home)
    (package / "signature.json").unlink()
    code, answer = verify(package)
    assert code == 1
    assert "train-classifier` again" in answer["problem"]
