"""The links that the edge follows."""

import threading
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.release.traffic import Route, Traffic


@pytest.fixture
def traffic(tmp_path) -> Traffic:
    return Traffic.of(tmp_path)


def shares(traffic: Traffic) -> Counter:
    return Counter(traffic.version_of(share) for share in range(100))


@given(percent=st.integers(1, 99))
def test_a_canary_gets_its_share_to_the_hundredth(tmp_path_factory, percent):
    traffic = Traffic.of(tmp_path_factory.mktemp("home"))
    traffic.send(Route(canary="7", share=percent / 100))
    assert shares(traffic) == {"7": percent, "": 100 - percent}


def test_everything_goes_to_what_serves_where_nothing_else_was_said(traffic):
    assert not traffic.is_set()
    traffic.send(Route())
    assert traffic.is_set()
    assert shares(traffic) == {"": 100}
    assert traffic.shadow() == ""


def test_a_shadow_answers_no_share(traffic):
    traffic.send(Route(shadow="8"))
    assert shares(traffic) == {"": 100}
    assert traffic.shadow() == "8"


def test_a_route_is_left_as_it_is_when_it_is_sent_again(traffic):
    traffic.send(Route(canary="7", share=0.1))
    before = (traffic.folder / "current").lstat().st_mtime_ns
    traffic.send(Route(canary="7", share=0.1))
    assert (traffic.folder / "current").lstat().st_mtime_ns == before


def test_a_kill_half_way_is_mended_by_the_next(traffic):
    traffic.send(Route())
    (traffic.folder / "next").symlink_to("plans/of-a-killed-one")
    traffic.send(Route(canary="7", share=0.5))
    assert shares(traffic) == {"7": 50, "": 50}
    assert not (traffic.folder / "next").is_symlink()


def test_old_plans_do_not_pile_up(traffic):
    for percent in range(1, 20):
        traffic.send(Route(canary="7", share=percent / 100))
    assert len(list((traffic.folder / "plans").iterdir())) == 2


def test_whoever_follows_a_link_meanwhile_finds_one_plan_or_the_other(traffic):
    traffic.send(Route())
    found: set[str] = set()
    is_over = threading.Event()

    def follow() -> None:
        while not is_over.is_set():
            found.add((traffic.folder / "current" / "0").resolve().name)

    reader = threading.Thread(target=follow)
    reader.start()
    for _ in range(30):
        traffic.send(Route(canary="7", share=0.5))
        traffic.send(Route())
    is_over.set()
    reader.join()
    assert found <= {"7", "default"}
