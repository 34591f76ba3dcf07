"""Finds how many workers, threads and images in a batch answer most callers on this machine, by asking a real server.

A TorchServe of its own, in a folder of its own, loads the package under each setting in turn and is asked by so many
callers at once; what serves meanwhile is left alone, and slower for as long.
"""

import itertools
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from imaging.atomic import write_text
from imaging.models.directory import package_digest
from imaging.models.signature import sign_package, verify_signature
from imaging.settings import Settings
from serving.archive import MODEL_NAME, TUNABLE, TUNED, WorkerConfig, build_archive
from serving.load import Target, ask
from serving.release_gate import ReleaseGate
from serving.tokens import authorization
from serving.torchserve import ManagementClient
from thorax import stack
from thorax.stack.places import Places
from thorax.stack.servers import SERVERS

BATCHES = (1, 4, 8)
DELAY_MS = 5
WARM_UP = 4
ROUNDS = 2
CLEARLY = 1.03
"""How much better than a simpler setting one must be."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Tried:
    """One setting and what it gave."""

    config: WorkerConfig
    answers_per_s: float
    p99_s: float

    def to_json(self) -> dict[str, float]:
        """Return it for a file."""
        setting = {name: value for name, value in asdict(self.config).items() if name in TUNABLE}
        return {**setting, "answers_per_s": round(self.answers_per_s, 2), "p99_s": round(self.p99_s, 4)}


def settings_to_try(cores: int) -> list[WorkerConfig]:
    """Return settings, the simplest first: one worker with every core, then one core each, with growing batches."""
    shapes = [(1, 0)] if cores == 1 else [(1, 0), (cores, 1)]
    return [
        WorkerConfig(
            workers=workers, threads=threads, batch_size=batch, max_batch_delay_ms=DELAY_MS if batch > 1 else 0
        )
        for (workers, threads), batch in itertools.product(shapes, BATCHES)
    ]


def best_of(tried: Sequence[Tried]) -> Tried:
    """Return the first that none is clearly faster than: the simplest of the best."""
    fastest = max(one.answers_per_s for one in tried)
    return next(one for one in tried if one.answers_per_s * CLEARLY >= fastest)


def tune(
    package: Path,
    image: bytes,
    settings: Settings,
    *,
    callers: int = 8,
    requests: int = 48,
    to_try: Sequence[WorkerConfig] | None = None,
    tell: Callable[[Tried], None] = lambda _tried: None,
) -> list[Tried]:
    """Try each setting on a package.

    Args:
        package: A model directory that `settings` trusts.
        image: What is asked about.
        settings: Of this machine.
        callers: At the same time.
        requests: In each of two rounds, of which the better counts.
        to_try: The settings; those of this machine's cores where absent.
        tell: Is told each result.

    Raises:
        SignatureError: nobody who is trusted here signed the package.
        ServiceError: the server does not start or answer.
    """
    verify_signature(package, settings)
    with tempfile.TemporaryDirectory(prefix="thorax-tune-") as folder:
        home = Path(folder) / "home"
        servers = {name: SERVERS[name] for name in ("torchserve", "edge")}
        at = stack.up(home, servers=servers)
        try:
            places = Places.of(home)
            copy = Path(folder) / "package"
            shutil.copytree(package, copy, ignore=shutil.ignore_patterns("signature.json"))
            sign_package(copy, Settings(home=home, signing="key"))
            server = ManagementClient(url=at.management, keys=places.key_file)
            found = []
            for number, config in enumerate(to_try or settings_to_try(os.cpu_count() or 1), start=1):
                headers = {"Content-Type": "application/octet-stream", **authorization(places.key_file, "inference")}
                target = Target(url=f"{at.inference}/predictions/{MODEL_NAME}/{number}", headers=headers)
                tried = _try(copy, places, server, config, str(number), target, image, callers, requests)
                found.append(tried)
                tell(tried)
            return found
        finally:
            stack.down(home)


def _try(
    package: Path,
    places: Places,
    server: ManagementClient,
    config: WorkerConfig,
    version: str,
    target: Target,
    image: bytes,
    callers: int,
    requests: int,
) -> Tried:
    digest = package_digest(package)
    archive = build_archive(package, version=version, digest=digest, store=places.model_store, config=config)
    ReleaseGate.of(places.home / "release").admit(version, digest)
    server.register(archive.name)
    server.wait_until_ready(version)
    if version != "1":
        server.set_default(version)
    for loaded in server.loaded():
        if loaded != version:
            server.unregister(loaded)
    ask(target, image, callers=callers, requests=WARM_UP * callers)
    runs = [ask(target, image, callers=callers, requests=requests) for _ in range(ROUNDS)]
    best = max(runs, key=lambda run: run.rate)
    return Tried(config=config, answers_per_s=best.rate, p99_s=best.quantile(0.99))


def write_choice(home: Path, tried: Sequence[Tried], *, callers: int) -> Path:
    """Write the best setting for the next release, with everything that was tried."""
    best = best_of(tried).to_json()
    document = {
        "chosen": {name: int(best[name]) for name in TUNABLE},
        "callers": callers,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "tried": [one.to_json() for one in tried],
    }
    write_text(home / TUNED, json.dumps(document, indent=2) + "\n")
    return home / TUNED
