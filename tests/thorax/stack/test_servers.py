import json
import re

import pytest

from thorax.stack import torchserve_server
from thorax.stack.servers import SERVERS, whole_environment

from .factories import make_site


@pytest.mark.parametrize("name", list(SERVERS))
def test_no_secret_is_on_a_command_line(home, name):
    site = make_site(home)
    line = " ".join(SERVERS[name].command(site))
    keys = site.credentials
    assert not any(secret in line for secret in [*keys.mlflow.values(), keys.s3_secret_key, keys.flask_key])


def test_the_model_server_is_given_no_password(home):
    site = make_site(home)
    values = whole_environment(SERVERS["torchserve"], site).values()
    keys = site.credentials
    assert not set(values) & {*keys.mlflow.values(), keys.s3_secret_key, keys.flask_key}


def test_a_server_does_not_inherit_what_its_starter_set_for_itself(home, monkeypatch):
    for name in ("THORAX_MLFLOW_PASSWORD", "AWS_SECRET_ACCESS_KEY", "TS_CONFIG_FILE", "PYTHONDONTWRITEBYTECODE"):
        monkeypatch.setenv(name, "from the shell")
    found = whole_environment(SERVERS["torchserve"], make_site(home))
    assert "from the shell" not in found.values()


@pytest.mark.parametrize("name", list(SERVERS))
def test_every_server_writes_the_audit_record_where_the_commands_do(home, monkeypatch, tmp_path, name):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("THORAX_AUDIT", "record")
    monkeypatch.setenv("THORAX_AUDIT_WITNESS", str(tmp_path / "heads"))
    found = whole_environment(SERVERS[name], make_site(home))
    assert found["THORAX_AUDIT"] == str(tmp_path / "record")
    assert found["THORAX_AUDIT_WITNESS"] == str(tmp_path / "heads")


def test_a_record_that_is_no_folder_is_reached_by_the_servers_too(home, monkeypatch):
    told = {"THORAX_AUDIT_WITNESS": "s3://thorax-audit/heads", "THORAX_AUDIT_DATABASE": "postgresql://db/audit"}
    told |= {"THORAX_AUDIT_S3_SECRET_KEY": "a/b", "THORAX_AUDIT_S3_ENDPOINT": "http://s3"}
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    assert told.items() <= whole_environment(SERVERS["mlflow"], make_site(home)).items()


@pytest.mark.parametrize("name", list(SERVERS))
def test_a_server_keeps_the_homes_own_audit_record_where_none_is_named(home, name):
    found = whole_environment(SERVERS[name], make_site(home))
    assert not {"THORAX_AUDIT", "THORAX_AUDIT_WITNESS"} & set(found)


def test_every_address_of_the_model_server_is_loopback_and_every_door_is_closed(home):
    site = make_site(home)
    lines = torchserve_server.config(site).splitlines()
    config = dict(line.partition("=")[::2] for line in lines if line)
    addresses = {name: value for name, value in config.items() if name.endswith("_address")}
    assert addresses.pop("inference_address") == f"unix:{torchserve_server.inference_socket(site.places)}"
    assert len(addresses) == 4
    assert all("127.0.0.1" in address for address in addresses.values())
    published = {str(site.ports[name]) for name in ("inference", "grpc_inference")}
    assert not published & {value for name, value in config.items() if name.endswith("_port")}
    assert config["disable_token_authorization"] == "false"
    for weakening in ("install_py_dep_per_model", "enable_envvars_config", "use_env_allowed_urls"):
        assert config[weakening] == "false"


def test_archives_come_from_the_model_store_alone(home):
    site = make_site(home.parent / "a home+with (odd) signs.d")
    line = next(line for line in torchserve_server.config(site).splitlines() if line.startswith("allowed_urls="))
    pattern = re.compile(line.partition("=")[2])
    store = site.places.model_store
    assert pattern.fullmatch(f"file://{store}/chest-xray.mar")
    assert not pattern.fullmatch("file:///etc/chest-xray.mar")
    assert not pattern.fullmatch("https://example.org/chest-xray.mar")
    assert "\\" not in line


def test_what_should_serve_is_loaded_at_the_start(home):
    site = make_site(home)
    state = site.places.home / "release" / "state.json"
    state.parent.mkdir()
    assert torchserve_server.serving_archive(site.places) is None
    state.write_text(json.dumps({"serving": {"version": "1", "digest": "d", "archive": "one.mar"}}), encoding="utf-8")
    assert torchserve_server.serving_archive(site.places) is None
    site.places.model_store.mkdir(parents=True)
    (site.places.model_store / "one.mar").touch()
    assert torchserve_server.serving_archive(site.places) == "one.mar"
    torchserve_server.prepare(site)
    assert "load_models=one.mar" in (site.places.torchserve / "config.properties").read_text(encoding="utf-8")


@pytest.mark.parametrize("left", ["", "{", "[]", '{"serving": null}', '{"serving": "x"}'])
def test_a_release_state_that_is_not_whole_loads_nothing(home, left):
    site = make_site(home)
    state = site.places.home / "release" / "state.json"
    state.parent.mkdir()
    state.write_text(left, encoding="utf-8")
    assert torchserve_server.serving_archive(site.places) is None


def test_the_last_runs_tokens_are_gone_before_the_next_start(home):
    site = make_site(home)
    site.places.torchserve.mkdir(parents=True)
    site.places.key_file.write_text("{}", encoding="utf-8")
    torchserve_server.prepare(site)
    assert not site.places.key_file.exists()


def test_a_home_with_a_long_path_keeps_its_sockets_elsewhere(home):
    long = make_site(home / ("x" * 100))
    assert len(str(torchserve_server.temporary_folder(long.places))) <= torchserve_server.LONGEST_SOCKET
    assert len(str(torchserve_server.inference_socket(long.places))) <= 107


def test_nothing_waits_for_a_server_that_is_started_later():
    names = list(SERVERS)
    for server in SERVERS.values():
        assert all(names.index(earlier) < names.index(server.name) for earlier in server.after)
