"""The endpoint under load on a processor, beside the runtime's raw rate and the servers that people would use instead.

Run: `.venv/bin/python benchmarks/bench_serving.py` (a quarter of an hour a network); `--quick` is one round of few
requests. Every server runs at the same time and is asked in turn, round by round, with the same image: a PNG of 1024 x
1024 pixels, a DICOM of 2500 x 3000 with 16 bits. Medians of the rounds; the noise is the median distance from them. The
raw rate is the runtime's own on batches of four in this process, the better of one pass with two threads and the like,
measured in each round. Weights are random: only speed is measured here. The client runs on the same cores.
"""

import argparse
import contextlib
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import torch
from peers.material import SIZE, as_dicom, as_png, write_package
from peers.servers import ArchiveOf, UsualArchiveOf, fastapi, flask, litserve, torchserve
from report import report
from rich.console import Console

from imaging.config import InputConfig
from imaging.models.onnx_session import load_session, session_logits
from imaging.models.signing_key import ensure_signing_key
from imaging.settings import Settings
from serving.archive import WorkerConfig
from serving.load import Measured, Target, ask
from thorax.stack.places import Places

NETWORKS = ("resnet50", "densenet121")
CALLERS = {1: 8, 8: 32, 32: 64}
"""How many callers at once, and how many requests of theirs in a round."""
BATCH = 4
RAW_BATCHES = 6
EXPLAINED = 6
LARGEST_DIFFERENCE = 1e-5
progress = Console(stderr=True)
Row = dict[str, Any]


@dataclass
class Results:
    """What every round gave: rates and latencies by server, image and number of callers."""

    runs: dict[tuple[str, str, int], list[Measured]] = field(default_factory=dict)
    raw: dict[str, list[float]] = field(default_factory=dict)
    explained: dict[str, list[float]] = field(default_factory=dict)
    differences: dict[str, float] = field(default_factory=dict)
    """Between our probabilities and the usual server's, largest, by image."""

    def rate(self, server: str, image: str, callers: int) -> float:
        """Return the median of the rates in answers a second."""
        return statistics.median(run.rate for run in self.runs[server, image, callers])

    def p99(self, server: str, image: str, callers: int) -> float:
        """Return the 99th percentile in seconds, over all rounds."""
        seconds = sorted(one for run in self.runs[server, image, callers] for one in run.seconds)
        return Measured(rate=0, seconds=tuple(seconds)).quantile(0.99)

    def noise(self, server: str, image: str, callers: int) -> float:
        """Return the median distance of the rates from their median, as a share of it."""
        middle = self.rate(server, image, callers)
        return statistics.median(abs(run.rate - middle) for run in self.runs[server, image, callers]) / middle


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description="Measure the endpoint under load, beside its peers.")
    parser.add_argument("networks", nargs="*", default=NETWORKS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="one round of few requests")
    asked = parser.parse_args()
    rows: list[Row] = []
    for network in asked.networks:
        with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
            rows += rows_of(network, measure(network, Path(scratch), 1 if asked.quick else asked.rounds, asked.quick))
        report("serving", rows)


def measure(network: str, scratch: Path, rounds: int, quick: bool) -> Results:
    """Start every server, ask them in turn, and return what they did."""
    results = Results()
    images = {"PNG": as_png(), "DICOM": as_dicom()}
    with servers(network, scratch) as (targets, raw):
        for target in targets.values():
            for body in images.values():
                ask(target, body, callers=2, requests=6)
        for image, body in images.items():
            ours, theirs = (probabilities(targets[name], body) for name in ("ours", "usual"))
            results.differences[image] = max(abs(one - other) for one, other in zip(ours, theirs, strict=True))
        for number in range(rounds):
            progress.print(f"{network}: round {number + 1} of {rounds}")
            for precision, session in raw.items():
                results.raw.setdefault(precision, []).append(session())
            for image, body in images.items():
                for callers, requests in CALLERS.items():
                    for name, target in targets.items():
                        run = ask(target, body, callers=callers, requests=8 if quick else requests)
                        results.runs.setdefault((name, image, callers), []).append(run)
            for name in ("ours", "usual"):
                explained = Target(url=targets[name].url, headers={**targets[name].headers, **EXPLAIN})
                run = ask(explained, images["DICOM"], callers=1, requests=EXPLAINED)
                results.explained.setdefault(name, []).append(run.quantile(0.5))
    return results


EXPLAIN = {"X-Thorax-Explain": "grad-cam"}


def probabilities(target: Target, body: bytes) -> list[float]:
    """Return an answer's probabilities in the model's order, with its explanation asked for."""
    answer = httpx.post(target.url, content=body, headers={**target.headers, **EXPLAIN}, timeout=60).json()
    found = answer["probabilities"]
    return list(found.values()) if isinstance(found, dict) else found


@contextlib.contextmanager
def servers(network: str, scratch: Path) -> Iterator[tuple[dict[str, Target], dict[str, Callable[[], float]]]]:
    """Yield every server's target and, for each precision, what measures its raw rate."""
    ours, int8, usual = (Places.of(scratch / name).home for name in ("ours", "int8", "usual"))
    package = scratch / "package"
    settings = Settings(home=ours, signing="key")
    ensure_signing_key(settings)
    for home in (int8, usual):
        (home / "keys").mkdir(parents=True)
        for key in (ours / "keys").iterdir():
            (home / "keys" / key.name).write_bytes(key.read_bytes())
            (home / "keys" / key.name).chmod(0o600)
    digest = write_package(package, network, settings)
    config, single = WorkerConfig(batch_size=BATCH), WorkerConfig(batch_size=1, max_batch_delay_ms=0)
    with contextlib.ExitStack() as started:
        enter = started.enter_context
        targets = {
            "ours": enter(torchserve(ours, ArchiveOf(ours, package, digest, config))),
            "ours int8": enter(torchserve(int8, ArchiveOf(int8, package, digest, config), runtime="onnx-int8")),
            "usual": enter(torchserve(usual, UsualArchiveOf(usual, package, digest, single))),
            "litserve": enter(litserve(scratch / "litserve", package, settings)),
            "fastapi": enter(fastapi(package)),
            "flask": enter(flask(package)),
        }
        files = {"fp32": "model.onnx", "int8": "model.int8.onnx"}
        yield targets, {name: raw_rate(package / file) for name, file in files.items()}


def raw_rate(path: Path) -> Callable[[], float]:
    """Return what measures the runtime's own rate in images a second."""
    session = load_session(path, threads=torch.get_num_threads())
    images = np.zeros((BATCH, SIZE, SIZE), dtype=np.uint8)
    config = InputConfig(size=SIZE)

    def run() -> float:
        session_logits(session, images, config)
        begin = time.perf_counter()
        for _ in range(RAW_BATCHES):
            session_logits(session, images, config)
        return BATCH * RAW_BATCHES / (time.perf_counter() - begin)

    return run


def rows_of(network: str, found: Results) -> list[Row]:
    """Return the rows of one network."""
    raw, raw8 = (statistics.median(found.raw[name]) for name in ("fp32", "int8"))
    rows: list[Row] = []
    for image in ("PNG", "DICOM"):
        here = f"{network}, {image}"
        ours, ours8 = (found.rate(name, image, 8) for name in ("ours", "ours int8"))
        differs = {**_row(f"{here}: probabilities, from the usual server's", 0, 1, "largest difference", 1e-5, 1)}
        differs |= {"ours": found.differences[image], "peer": None, "ratio": None}
        rows.append(differs | {"holds": found.differences[image] <= LARGEST_DIFFERENCE})
        noise = f"answers/s, 8 callers; noise {found.noise('ours', image, 8):.0%}"
        rows.append(_row(f"{here}: of the runtime's raw rate", ours, raw, noise, 0.9, len(found.raw["fp32"])))
        rows.append(_row(f"{here}: int8, of its raw rate", ours8, raw8, noise, None, len(found.raw["int8"])))
        for peer, target in (("usual", 1.5), ("litserve", 1.0), ("fastapi", 1.0), ("flask", 2.0)):
            rows.append(_against(f"{here}: {peer}", found, "ours", peer, image, 8, target))
        rows.append(_against(f"{here}: int8 against the usual", found, "ours int8", "usual", image, 8, 2.5))
        for peer in ("litserve", "fastapi"):
            rows.append(_against(f"{here}: {peer}", found, "ours", peer, image, 32, 1.0))
        rows.append(_against(f"{here}: one caller, usual", found, "ours", "usual", image, 1, None))
        late, twice_ideal = found.p99("ours", image, 8), 16 / raw
        row = _row(f"{here}: p99, against twice the ideal", late, twice_ideal, "s, 8 callers, lower is better", 1.0, 1)
        rows.append(row | {"ratio": round(twice_ideal / late, 2), "holds": late < twice_ideal})
    quick, slow = (statistics.median(found.explained[name]) for name in ("ours", "usual"))
    runs = len(found.explained["ours"])
    rows.append(_row(f"{network}, DICOM with Grad-CAM: usual", 1 / quick, 1 / slow, "answers/s, 1 caller", 3.0, runs))
    return rows


def _against(name: str, found: Results, ours: str, peer: str, image: str, callers: int, target: float | None) -> Row:
    noise = f"answers/s, {callers} callers; noise {found.noise(ours, image, callers):.0%} and "
    unit = f"{noise}{found.noise(peer, image, callers):.0%}"
    runs = len(found.runs[ours, image, callers])
    return _row(name, found.rate(ours, image, callers), found.rate(peer, image, callers), unit, target, runs)


def _row(name: str, ours: float, peer: float, unit: str, target: float | None, runs: int) -> Row:
    ratio = ours / peer
    return {
        "name": name,
        "ours": round(ours, 2),
        "peer": round(peer, 2),
        "unit": unit,
        "ratio": round(ratio, 2),
        "runs": runs,
        "target": target,
        "holds": None if target is None else ratio >= target,
    }


if __name__ == "__main__":
    main()
