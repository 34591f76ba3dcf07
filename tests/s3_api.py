"""A real S3 API on this machine for a test: `rclone serve s3` over a folder, signature v4 keys."""

import contextlib
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from imaging.settings import Settings


@contextlib.contextmanager
def s3_api(folder: Path, home: Path) -> Iterator[Settings]:
    """Serve the buckets in `folder`; give the settings that reach them. `home` takes the server's own files."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    access, secret = secrets.token_hex(8), secrets.token_hex(16)
    rclone = str(Path(sys.executable).with_name("rclone"))
    command = [rclone, "serve", "s3", str(folder), "--addr", f"127.0.0.1:{port}", "--dir-cache-time", "1s"]
    command += ["--auth-key", f"{access},{secret}"]
    with (home / "rclone.log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, env={"HOME": str(home), "PATH": "/usr/bin:/bin"})
    try:
        wait_for(port)
        yield Settings(s3_endpoint=f"http://127.0.0.1:{port}", s3_access_key=access, s3_secret_key=secret)
    finally:
        server.terminate()
        server.wait(timeout=20)


def wait_for(port: int) -> None:
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    pytest.fail("rclone serve s3 did not start")
