"""Chooses the runtime when a model is loaded: the fastest, measured here, of those that answer as torch does."""

import logging
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import torch
from torch import Tensor

from imaging.config import InputConfig
from imaging.errors import ConfigurationError, ModelPackageError
from imaging.models.onnx_files import Precision
from imaging.models.runtimes.eager import Eager
from imaging.models.runtimes.interface import Passed, Runtime
from imaging.models.runtimes.onnx import Onnx

Wanted = Literal["auto", "torch", "onnx", "onnx-int8"]
"""`auto` chooses among what answers alike; `onnx-int8` answers a little differently, so a person has to ask for it."""
BATCHES = (1, 4)
ROUNDS = 3
LARGEST_DIFFERENCE = 1e-5
"""Between probabilities: what contracts allow between replicas."""
SEED = 0

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Tried:
    """One runtime as it did at start-up.

    Attributes:
        name: Of the runtime.
        milliseconds: Median time of an image, over batches of one and of four.
        difference: From torch, largest between two probabilities.
        why_not: Why it cannot be chosen; empty where it can.
    """

    name: str
    milliseconds: float
    difference: float
    why_not: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """The chosen runtime and everything that was tried."""

    runtime: Runtime
    tried: tuple[Tried, ...]


def choose_runtime(
    wanted: Wanted,
    eager: Eager,
    directory: Path,
    *,
    config: InputConfig,
    threads: int | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Choice:
    """Choose how to run a model.

    Args:
        wanted: What the settings ask for.
        eager: Torch's way; on any device but the processor it is the only one.
        directory: The model directory, with its exports.
        config: Of the network's input.
        threads: Of one pass; torch's own number where absent.
        clock: Seconds that only grow.

    Raises:
        ConfigurationError: for an unknown wish, or ONNX Runtime on another device.
        ModelPackageError: the export that was asked for is not there or cannot be run.
    """
    if wanted not in get_args(Wanted):
        raise ConfigurationError(f"no runtime {wanted!r}; there are: {', '.join(get_args(Wanted))}")
    threads = threads or torch.get_num_threads()
    is_processor = eager.device.type == "cpu"
    if wanted in ("onnx", "onnx-int8"):
        if not is_processor:
            raise ConfigurationError(f"the runtime {wanted} is for processors, and this is {eager.device.type}")
        precision: Precision = "int8" if wanted == "onnx-int8" else "fp32"
        return Choice(runtime=Onnx.load(directory, precision, eager.tail, threads=threads), tried=())
    if wanted == "torch" or not is_processor:
        return Choice(runtime=eager, tried=())
    try:
        other = Onnx.load(directory, "fp32", eager.tail, threads=threads)
    except ModelPackageError as error:
        logger.warning("served by torch: %s", error)
        return Choice(runtime=eager, tried=())
    return _faster(eager, other, (config.channels, config.size, config.size), clock)


def _faster(eager: Runtime, other: Runtime, shape: tuple[int, int, int], clock: Callable[[], float]) -> Choice:
    """Take `other` where it answers like `eager` and is faster, the two measured in turn."""
    random = torch.Generator().manual_seed(SEED)
    inputs = [torch.rand((count, *shape), generator=random) * 4 - 2 for count in BATCHES]
    difference = max(_difference(eager.run(one), other.run(one)) for one in inputs)
    times: dict[str, list[float]] = {eager.name: [], other.name: []}
    for _ in range(ROUNDS):
        for runtime in (eager, other):
            times[runtime.name].append(_milliseconds(runtime, inputs, clock))
    median = {name: statistics.median(found) for name, found in times.items()}
    differs = not difference <= LARGEST_DIFFERENCE
    why_not = f"differs from torch by {difference:.1g}, more than {LARGEST_DIFFERENCE:g}" if differs else ""
    tried = (
        Tried(name=eager.name, milliseconds=median[eager.name], difference=0.0),
        Tried(name=other.name, milliseconds=median[other.name], difference=difference, why_not=why_not),
    )
    chosen = other if not differs and median[other.name] < median[eager.name] else eager
    logger.info("runtime %s of %s", chosen.name, "; ".join(_words(one) for one in tried))
    return Choice(runtime=chosen, tried=tried)


def _milliseconds(runtime: Runtime, inputs: list[Tensor], clock: Callable[[], float]) -> float:
    begin = clock()
    for one in inputs:
        runtime.run(one)
    return (clock() - begin) * 1000 / sum(len(one) for one in inputs)


def _difference(one: Passed, other: Passed) -> float:
    return float((one.logits.softmax(1) - other.logits.softmax(1)).abs().max())


def _words(one: Tried) -> str:
    return f"{one.name} {one.milliseconds:.1f} ms" + (f" ({one.why_not})" if one.why_not else "")
