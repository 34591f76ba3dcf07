"""Small folders of real pictures, the dataset made of them, archives, and a server that gives them badly."""

import io
import threading
import zipfile
from collections.abc import Callable, Iterable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imaging.data.dataset import COLUMNS, IMAGES, Dataset, load_dataset, write_dataset
from imaging.data.statistics import image_statistics

KEY = bytes(range(32))


def picture(seed: int, side: int = 80) -> np.ndarray:
    """A smooth random picture: no two seeds give the same."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC))


def write_folder(root: Path, rows: Iterable[tuple[str, int]]) -> Path:
    """Write one PNG for each (relative name, seed)."""
    for name, seed in rows:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(seed)).save(path)
    return root


def write_small_dataset(
    folder: Path, rows: list[tuple[str, str, int]], hints: list[str] | None = None, channels: int = 1
) -> Dataset:
    """Write and load a dataset version straight from (label, patient, seed of the picture)."""
    folder.mkdir(parents=True, exist_ok=True)
    images = np.stack([picture(seed, 16) for _, _, seed in rows])
    if channels == 3:
        images = np.stack([images, images[:, ::-1], images[:, :, ::-1]], axis=-1)
    np.save(folder / IMAGES, images)
    texts = {name: np.array([""] * len(rows)) for name in COLUMNS}
    table = {
        **texts,
        "label": np.array([label for label, _, _ in rows]),
        "patient": np.array([patient for _, patient, _ in rows]),
        "split_hint": np.array(hints or [""] * len(rows)),
        "pixel_sha256": np.array([f"sha256:{seed}" for _, _, seed in rows]),
        "rows": np.full(len(rows), 16),
        "columns": np.full(len(rows), 16),
        **image_statistics(images),
    }
    write_dataset(folder, table, size=16, facts={"name": "small"})
    return load_dataset(folder)


@pytest.fixture(scope="session")
def key() -> bytes:
    return KEY


@pytest.fixture(scope="session")
def make_folder() -> Callable[..., Path]:
    return write_folder


@pytest.fixture(scope="session")
def make_dataset() -> Callable[..., Dataset]:
    return write_small_dataset


def zip_of(entries: dict[str, bytes], mode: int = 0o100644, cut: int = 0) -> bytes:
    """The bytes of a zip file, perhaps without its last ones."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as opened:
        for name, data in entries.items():
            info = zipfile.ZipInfo(name)
            info.external_attr, info.compress_type = mode << 16, zipfile.ZIP_DEFLATED
            opened.writestr(info, data)
    return file.getvalue()[: -cut or None]


@pytest.fixture(scope="session")
def make_zip() -> Callable[..., bytes]:
    return zip_of


class Shelf:
    """What a server gives, and how badly."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.ranges = True
        self.breaks = 0
        """Answers still to be cut off in the middle."""
        self.busy = 0
        """Answers still to be 503."""
        self.stamp = '"one"'
        self.asked: list[tuple[str, str]] = []
        self.address = ""


class Clerk(BaseHTTPRequestHandler):
    """Answers from the shelf that a subclass names."""

    shelf: Shelf

    def do_GET(self) -> None:
        wanted = self.headers.get("Range", "")
        self.shelf.asked.append((self.path, wanted))
        data = self.shelf.files.get(self.path)
        if self.shelf.busy:
            self.shelf.busy -= 1
            self.send_error(503)
        elif data is None:
            self.send_error(404)
        else:
            self.give(data, wanted)

    def give(self, data: bytes, wanted: str) -> None:
        same = self.headers.get("If-Range", self.shelf.stamp) == self.shelf.stamp
        start = int(wanted[6:-1]) if wanted and self.shelf.ranges and same else 0
        if start >= len(data):
            self.begin(416, 0, f"bytes */{len(data)}")
            return
        self.begin(206 if start else 200, len(data) - start, f"bytes {start}-{len(data) - 1}/{len(data)}")
        cut = self.shelf.breaks > 0
        self.shelf.breaks -= cut
        self.wfile.write(data[start : (start + len(data)) // 2 if cut else None])

    def begin(self, status: int, length: int, span: str) -> None:
        self.send_response(status)
        if status != 200:
            self.send_header("Content-Range", span)
        if self.shelf.stamp:
            self.send_header("ETag", self.shelf.stamp)
        self.send_header("Content-Length", str(length))
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def shelf() -> Iterator[Shelf]:
    """A real HTTP server on this machine."""
    given = Shelf()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("TheirClerk", (Clerk,), {"shelf": given}))
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    given.address = f"http://127.0.0.1:{server.server_port}"
    yield given
    server.shutdown()
    server.server_close()
