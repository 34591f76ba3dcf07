"""What nginx is told: read as a golden file, and accepted by nginx for homes of any name."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring.edge_log import PREDICTION_CALLS, PREDICTION_PATHS
from monitoring.turned_away import OURS
from thorax.stack.credentials import Credentials
from thorax.stack.edge_config import REFUSALS, ROUTES, quoted, render
from thorax.stack.places import DEFAULT_PORTS, Places
from thorax.stack.servers import site_of
from thorax.stack.torchserve_server import ANSWER_WITHIN_S, LARGEST_BODY

GOLDEN = Path(__file__).parents[2] / "goldens" / "nginx.conf"


def configuration(home: str = "/srv/thorax") -> str:
    """As it is for a user; an administrator's has one line more."""
    text = render(site_of(Places(Path(home)), DEFAULT_PORTS, Credentials.new()))
    return re.sub(r"^user .*;$", "", text, flags=re.MULTILINE)


def name_of(path: str) -> str:
    return next((name for pattern, name in ROUTES.items() if re.search(pattern, path)), "*")


def test_the_configuration_is_the_one_that_was_read(update_goldens):
    if update_goldens:
        GOLDEN.write_text(configuration(), encoding="utf-8")
    assert configuration() == GOLDEN.read_text(encoding="utf-8")


def test_every_hundredth_of_the_requests_has_a_link_to_follow():
    text = configuration()
    shares = re.findall(r"^        (?:1%|\*) (\d+);$", text, flags=re.MULTILINE)
    assert shares == [str(share) for share in range(100)]


def test_no_client_passes_for_a_copy_to_a_version_in_shadow():
    text = configuration()
    assert 'proxy_set_header X-Thorax-Shadow "";' in text.partition("location = /predictions/chest-xray {")[0]
    assert re.findall(r"location = /(?:copy|ask|taken) {\s+internal;", text) != []


def test_it_waits_longer_than_torchserve_and_takes_as_much():
    text = configuration()
    for kind in ("proxy", "grpc"):
        found = re.search(rf"{kind}_read_timeout (\d+)s;", text)
        assert found
        assert int(found[1]) > ANSWER_WITHIN_S
    assert f"client_max_body_size {LARGEST_BODY};" in text


def test_every_place_of_it_is_in_the_home_and_every_listener_on_loopback():
    text = configuration("/home/radiology/.thorax")
    directives = r"pid|lock_file|root|access_log|server|\w+_temp_path"
    places = re.findall(rf'^\s*(?:{directives}) "(?:unix:)?([^"]+)"', text, flags=re.MULTILINE)
    assert len(places) == 15
    assert all(place.startswith("/home/radiology/.thorax/") for place in places)
    copies = 'listen "unix:/home/radiology/.thorax/edge/copies/copies.sock";'
    assert copies in text
    listeners = re.findall(r"^\s*listen (\S+?)[ ;]", text.replace(copies, ""), flags=re.MULTILINE)
    assert listeners == [f"127.0.0.1:{DEFAULT_PORTS['inference']}", f"127.0.0.1:{DEFAULT_PORTS['grpc_inference']}"]


def test_what_nginx_answers_itself_has_a_code_on_both_listeners():
    text = configuration()
    for status in REFUSALS:
        assert len(re.findall(rf"location (?:@refuse_|= /refuse/){status} {{", text)) == 2
    assert "grpc-status 8" in text


@pytest.mark.parametrize("character", ["\\", '"', "$", " ", "'", ";", "{"])
def test_a_path_stays_one_word(character):
    word = quoted(f"a{character}b")
    assert (word[0], word[-1]) == ('"', '"')
    assert '"' not in word[1:-1].replace("\\\\", "").replace('\\"', "")


PATHS = st.from_regex(
    r"/?(predictions|explanations|invocations|ping|v1|v2|models)?(/models)?(/chest-xray)?[:/a-z0-9]{0,6}",
    fullmatch=True,
)


@given(PATHS)
def test_the_edge_names_as_predictions_what_the_access_log_counts_as_such(path):
    for target in (path, f"{path}?patient=Doe"):
        assert (name_of(target) in PREDICTION_PATHS) == bool(OURS.fullmatch(path))


def test_every_prediction_that_the_log_knows_has_a_name_at_the_edge():
    assert set(PREDICTION_PATHS) <= set(ROUTES.values())
    assert all(re.fullmatch(r"[A-Za-z0-9]{1,32}", call) for call in PREDICTION_CALLS)
