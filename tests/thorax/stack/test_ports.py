import socket
from collections.abc import Iterator

import pytest

from imaging.errors import ServiceError
from thorax.stack.ports import choose_ports, is_free


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody else listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_port_that_somebody_listens_on_is_not_free(taken):
    assert not is_free(taken)


def test_a_port_is_free_again_when_its_listener_is_gone():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert is_free(port)


def test_a_taken_port_is_replaced_by_one_above_it(taken):
    assert choose_ports({"web": taken})["web"] > taken


def test_two_servers_never_get_one_port():
    chosen = choose_ports({"a": 31000, "b": 31000, "c": 31001})
    assert len(set(chosen.values())) == 3


def test_the_port_that_our_own_server_holds_stays_and_nobody_else_gets_it(taken):
    chosen = choose_ports({"other": taken, "ours": taken}, keep=["ours"])
    assert chosen["ours"] == taken
    assert chosen["other"] != taken


def test_no_port_at_all_is_an_error():
    with pytest.raises(ServiceError, match="no free port"):
        choose_ports({"web": 65536})
