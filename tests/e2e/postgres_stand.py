"""A real PostgreSQL on this machine for a test, of Debian's package."""

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.torchserve_stand import until

PASSWORD = "only-for-this-test"


@dataclass(frozen=True)
class Postgres:
    """A server, and its owner's way in."""

    port: int
    ask: Callable[..., "subprocess.CompletedProcess[str]"]
    """`ask(sql, database="postgres")` runs SQL as the owner."""

    def address(self, database: str, user: str = "thorax", password: str = PASSWORD, host: str = "127.0.0.1") -> str:
        return f"postgresql://{user}:{password}@{host}:{self.port}/{database}"


def as_owner(folder: Path, *command: str) -> list[str]:
    """PostgreSQL runs as nobody's root: as Debian's user of it where we are root."""
    if os.geteuid() != 0:
        return list(command)
    shutil.chown(folder, "postgres", "postgres")
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", *command]


@contextlib.contextmanager
def postgres_stand(port: int, what_is_missed: str, *, network: str = "") -> Iterator[Postgres]:
    """Start a new one, on loopback or for a `network` too; skip aloud where there is none."""
    places = [os.environ.get("PATH", os.defpath), *(str(one) for one in Path("/usr/lib/postgresql").glob("*/bin"))]
    initdb, postgres, psql = (
        shutil.which(name, path=os.pathsep.join(places)) for name in ("initdb", "postgres", "psql")
    )
    if not initdb or not postgres or not psql:
        pytest.skip(f"no PostgreSQL here: {what_is_missed}")
    folder = Path("/tmp") / f"thorax-postgres-{os.getpid()}-{port}"
    folder.mkdir(mode=0o755)
    secret = folder / "password"
    secret.write_text(PASSWORD)
    secret.chmod(0o644)
    environment = {**os.environ, "PGPASSWORD": PASSWORD}

    def ask(text: str, database: str = "postgres") -> "subprocess.CompletedProcess[str]":
        reach = [psql, "-h", "127.0.0.1", "-p", str(port), "-U", "thorax", "-d", database, "-v", "ON_ERROR_STOP=1"]
        return subprocess.run(
            [*reach, "-qAt"], input=text, env=environment, capture_output=True, text=True, check=False, cwd="/"
        )

    try:
        made = [initdb, "-D", f"{folder}/data", "-U", "thorax", "--auth=scram-sha-256", f"--pwfile={secret}"]
        subprocess.run(as_owner(folder, *made), check=True, capture_output=True, cwd="/")
        if network:
            with (folder / "data" / "pg_hba.conf").open("a") as rules:
                rules.write(f"host all all {network} scram-sha-256\n")
        listen = "*" if network else "127.0.0.1"
        options = ["-D", f"{folder}/data", "-k", str(folder), "-h", listen, "-p", str(port)]
        server = subprocess.Popen(as_owner(folder, postgres, *options), stderr=subprocess.DEVNULL, cwd="/")
        try:
            until(lambda: ask("select 1").returncode == 0, within_s=30)
            yield Postgres(port, ask)
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(30)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
