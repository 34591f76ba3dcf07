"""How the edge is asked, over HTTP and gRPC, and what its requests left in the prediction log."""

import contextlib
import select
import socket
import threading
from collections.abc import Iterator

import grpc
import httpx
import pytest

from monitoring.prediction_log import collect, read_log
from serving.tokens import authorization
from tests.e2e.torchserve_stand import Stand
from thorax.stack.places import Places, load_ports

SERVICE = "/org.pytorch.serve.grpc.inference.InferenceAPIsService"
PATH = "/predictions/chest-xray"


def bearer(stand: Stand) -> dict[str, str]:
    return authorization(stand.client.keys, "inference")


def ask(stand: Stand, method: str, path: str, **more) -> httpx.Response:
    return httpx.request(method, f"{stand.url}{path}", timeout=60, **more)


def field(number: int, value: bytes) -> bytes:
    """One length-delimited field, as https://protobuf.dev/programming-guides/encoding has it."""
    length, encoded = len(value), b""
    while length > 127:
        encoded, length = encoded + bytes([length & 127 | 128]), length >> 7
    return bytes([number << 3 | 2]) + encoded + bytes([length]) + value


def call(
    stand: Stand, image: bytes, *, token: bool, method: str = "Predictions", around: bool = False, at: str = ""
) -> bytes:
    """A gRPC call as TorchServe's `inference.proto` describes it: model_name = 1, input = 3; `around` the edge."""
    ports = load_ports(Places.of(stand.home))
    at = at or f"127.0.0.1:{ports['grpc_upstream' if around else 'grpc_inference']}"
    metadata = tuple((name.lower(), value) for name, value in bearer(stand).items()) if token else ()
    message = field(1, b"chest-xray") + field(3, field(1, b"data") + field(2, image))
    with grpc.insecure_channel(at, options=[("grpc.max_send_message_length", -1)]) as channel:
        ask = channel.unary_unary(f"{SERVICE}/{method}", lambda value: value, lambda value: value)
        return ask(message, metadata=metadata, timeout=60)


@contextlib.contextmanager
def relay_from(source: str, port: int) -> Iterator[str]:
    """Pass one connection on to `port`, as if it came from the address `source`; yield where to connect."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_relay, args=(server, source, port), daemon=True).start()
        yield f"127.0.0.1:{server.getsockname()[1]}"


def _relay(server: socket.socket, source: str, port: int) -> None:
    caller, _ = server.accept()
    with caller, socket.create_connection(("127.0.0.1", port), 10, source_address=(source, 0)) as other:
        ways = {caller: other, other: caller}
        while True:
            for one in select.select(list(ways), [], [], 30)[0]:
                data = one.recv(65536)
                if not data:
                    return
                ways[one].sendall(data)


def refused(stand: Stand, image: bytes, **more) -> grpc.StatusCode:
    with pytest.raises(grpc.RpcError) as caught:
        call(stand, image, **more)
    return caught.value.code()


def pieces(size: int) -> Iterator[bytes]:
    """A body whose length nobody knows: it is sent in chunks."""
    for begin in range(0, size, 2**20):
        yield bytes(min(2**20, size - begin))


def logged(stand: Stand) -> list[dict]:
    """The prediction log, after everything was collected."""
    parquet = stand.home / "parquet"
    folders = {"access_logs": stand.home / "torchserve" / "logs", "edge_logs": stand.home / "edge" / "logs"}
    collect(stand.home / "predictions" / "spool", parquet, **folders)
    return read_log(parquet)
