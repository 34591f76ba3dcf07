"""How long one image takes, one at a time, through the same code that serves it."""

import time
from collections.abc import Callable

import numpy as np

from imaging.evaluation.schema import Latency

RUNS = 40
WARM_UPS = 3


def measure_latency(answer: Callable[[], object], *, device: str, runs: int = RUNS) -> Latency:
    """Time `answer` (one image to its probabilities) `runs` times after warming up."""
    for _ in range(WARM_UPS):
        answer()
    taken = []
    for _ in range(runs):
        start = time.perf_counter()
        answer()
        taken.append((time.perf_counter() - start) * 1000)
    p50, p95 = np.percentile(taken, (50, 95))
    return Latency(p50_ms=float(p50), p95_ms=float(p95), runs=runs, device=device)
