import json
import stat

import pytest

from thorax.stack.credentials import ROLES, Credentials, load_credentials, load_or_create_credentials
from thorax.stack.places import Places


def test_secrets_are_made_once_and_kept(home):
    made, are_new = load_or_create_credentials(Places.of(home))
    again, are_new_again = load_or_create_credentials(Places.of(home))
    assert (are_new, are_new_again) == (True, False)
    assert again == made


def test_only_their_owner_reads_them(home):
    places = Places.of(home)
    load_or_create_credentials(places)
    assert stat.S_IMODE(places.credentials.stat().st_mode) == 0o600


def test_a_file_that_others_could_read_is_closed_again(home):
    places = Places.of(home)
    load_or_create_credentials(places)
    places.credentials.chmod(0o644)
    load_or_create_credentials(places)
    assert stat.S_IMODE(places.credentials.stat().st_mode) == 0o600


@pytest.mark.parametrize("left", ["", "{", "[]", '{"mlflow": {}}', "null"])
def test_a_torn_file_is_replaced(home, left):
    places = Places.of(home)
    places.home.mkdir(parents=True)
    places.credentials.write_text(left, encoding="utf-8")
    assert load_credentials(places) is None
    made, are_new = load_or_create_credentials(places)
    assert are_new
    assert load_credentials(places) == made


def test_an_empty_password_is_none():
    value = Credentials.new().to_json()
    value["mlflow"]["trainer"] = ""
    with pytest.raises(ValueError, match="empty"):
        Credentials.from_json(value)


def test_every_secret_is_another_one_and_long_enough():
    made = Credentials.new()
    secrets = [*made.mlflow.values(), made.s3_secret_key, made.flask_key, *Credentials.new().mlflow.values()]
    assert len(set(secrets)) == len(secrets)
    assert all(len(secret) >= 24 for secret in secrets)


def test_no_secret_is_in_the_repr():
    made = Credentials.new()
    shown = repr(made)
    assert not any(secret in shown for secret in [*made.mlflow.values(), made.s3_secret_key, made.flask_key])


def test_what_is_written_has_the_shape_that_others_read(home):
    places = Places.of(home)
    load_or_create_credentials(places)
    written = json.loads(places.credentials.read_text(encoding="utf-8"))
    assert set(written["mlflow"]) == set(ROLES)
    assert {"access_key", "secret_key"} <= set(written["s3"])
