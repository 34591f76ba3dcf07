"""The download of weights, against a server on this machine."""

import functools
import hashlib
import http.server
import io
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from imaging.errors import ConfigurationError, ServiceError
from imaging.models import build_model
from imaging.models.weights import download, initialise, torchvision_url
from imaging.settings import Settings


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "served").mkdir()
    handler = functools.partial(Quiet, directory=tmp_path / "served")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def serve(tmp_path: Path, *, digits: str = "") -> str:
    """Put a weights file on the server; its name holds its digest, or `digits` instead."""
    buffer = io.BytesIO()
    torch.save({"weight": torch.arange(4.0)}, buffer)
    name = f"net-{digits or hashlib.sha256(buffer.getvalue()).hexdigest()[:8]}.pth"
    (tmp_path / "served" / name).write_bytes(buffer.getvalue())
    return name


def test_a_file_that_is_what_its_name_says_is_fetched_once(mirror: str, tmp_path: Path) -> None:
    name = serve(tmp_path)
    first = download(f"{mirror}/{name}", tmp_path / "kept", timeout_s=5)
    (tmp_path / "served" / name).unlink()
    again = download(f"{mirror}/{name}", tmp_path / "kept", timeout_s=5)
    assert first["weight"].tolist() == again["weight"].tolist() == [0, 1, 2, 3]


def test_another_content_than_the_name_says_is_refused_and_not_kept(mirror: str, tmp_path: Path) -> None:
    name = serve(tmp_path, digits="00000000")
    with pytest.raises(ServiceError, match="hash"):
        download(f"{mirror}/{name}", tmp_path / "kept", timeout_s=5)
    assert not list((tmp_path / "kept").glob("*.pth"))


def test_a_server_without_the_file_is_an_error_that_names_the_address(mirror: str, tmp_path: Path) -> None:
    settings = Settings(allow_download=True, weights_mirror=mirror, home=tmp_path)
    with pytest.raises(ServiceError, match=f"{mirror}/mobilenet_v2-"):
        initialise(build_model("mobilenet_v2", num_classes=3), "mobilenet_v2", settings, pretrained=True)


def test_a_mirror_serves_torchvisions_own_file_names() -> None:
    own = torchvision_url("resnet18")
    assert torchvision_url("resnet18", "http://mirror.example/w/") == f"http://mirror.example/w/{own.rsplit('/', 1)[1]}"


def test_a_network_of_ours_has_no_weights_to_download() -> None:
    with pytest.raises(ConfigurationError, match="small_cnn"):
        torchvision_url("small_cnn")
