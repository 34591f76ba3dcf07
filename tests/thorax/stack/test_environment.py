import json
import os

import pytest

from imaging.errors import ServiceError
from thorax.stack.environment import apply, environment, settings_for
from thorax.stack.places import DEFAULT_PORTS, Places, has_no_edge, load_ports, save_ports

from .factories import make_site


def test_a_stack_that_was_never_started_says_so(home):
    with pytest.raises(ServiceError, match="thorax up"):
        environment(home, "trainer")


def test_each_role_acts_as_its_own_user(home):
    site = make_site(home)
    for role in ("trainer", "approver", "controller", "admin"):
        found = environment(home, role)
        assert found["THORAX_ACTOR"] == found["MLFLOW_TRACKING_USERNAME"] == role
        assert found["MLFLOW_TRACKING_PASSWORD"] == site.credentials.mlflow[role]


def test_settings_are_filled_without_touching_this_process(home):
    site = make_site(home)
    before = dict(os.environ)
    settings = settings_for(home, "approver")
    assert dict(os.environ) == before
    assert settings.mlflow_uri == "http://127.0.0.1:5000"
    assert settings.mlflow_password.get_secret_value() == site.credentials.mlflow["approver"]
    assert settings.s3_secret_key.get_secret_value() == site.credentials.s3_secret_key
    assert settings.serving_keys == site.places.key_file
    assert settings.home.is_absolute()


def test_what_the_caller_has_set_is_not_overridden(home, monkeypatch):
    make_site(home)
    for name in environment(home, "trainer"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("THORAX_SERVING_URL", "http://elsewhere:1")
    apply(home, "trainer")
    assert os.environ["THORAX_SERVING_URL"] == "http://elsewhere:1"
    assert os.environ["THORAX_MLFLOW_URI"] == "http://127.0.0.1:5000"
    for name in environment(home, "trainer"):
        monkeypatch.delenv(name)


def test_ports_survive_a_restart(home):
    places = Places.of(home)
    ports = {name: port + 11 for name, port in DEFAULT_PORTS.items()}
    save_ports(places, ports)
    assert load_ports(places) == ports


def test_the_ports_of_a_version_without_an_edge_are_kept(home):
    places = Places.of(home)
    ports = {name: port + 11 for name, port in DEFAULT_PORTS.items()}
    save_ports(places, ports)
    assert not has_no_edge(places)
    older = json.loads(places.addresses.read_text(encoding="utf-8"))
    del older["behind_the_edge"]
    places.addresses.write_text(json.dumps(older), encoding="utf-8")
    assert has_no_edge(places)
    assert load_ports(places) == ports | {"grpc_upstream": DEFAULT_PORTS["grpc_upstream"]}


@pytest.mark.parametrize("left", ["", "{", "{}", '{"mlflow": {"url": "http://127.0.0.1:x"}}'])
def test_a_torn_stack_file_is_none(home, left):
    places = Places.of(home)
    places.home.mkdir(parents=True)
    places.addresses.write_text(left, encoding="utf-8")
    assert load_ports(places) is None


def test_the_stack_file_has_the_shape_that_others_read(home):
    site = make_site(home)
    written = json.loads(site.places.addresses.read_text(encoding="utf-8"))
    assert written["mlflow"]["url"] == site.addresses.mlflow
    assert written["s3"]["url"] == site.addresses.s3
    assert written["torchserve"]["inference"] == site.addresses.inference
