"""A simulated day as a picture: what was asked, how many pods answered, how long it took."""

from pathlib import Path

import numpy as np

from thorax.cluster.arrivals import DAY_S
from thorax.cluster.autoscaler import LOOK_EVERY_S
from thorax.cluster.capacity import Choice

BIN_S = 300.0


def draw_day(choice: Choice, out: Path, *, goal_ms: float) -> None:
    """Write the picture; its kind is its name's ending."""
    from matplotlib.figure import Figure

    outcome = choice.outcome
    edges = np.arange(0, DAY_S + BIN_S, BIN_S)
    place = np.digitize(outcome.arrivals, edges) - 1
    hours = edges[:-1] / 3600
    rate = np.bincount(place, minlength=len(hours))[: len(hours)] / BIN_S
    slow = [
        np.percentile(outcome.latency_ms[place == n], 95) if (place == n).any() else np.nan for n in range(len(hours))
    ]
    figure = Figure(figsize=(9, 6), layout="constrained")
    asked, pods, taken = figure.subplots(3, 1, sharex=True)
    asked.fill_between(hours, rate, color="#9bb8d3", step="post")
    asked.set_ylabel("images a second")
    pods.step(np.arange(len(outcome.pods)) * LOOK_EVERY_S / 3600, outcome.pods, color="#1f4e79", where="post")
    pods.set_ylabel("pods")
    pods.set_ylim(0, max(outcome.pods) + 1)
    taken.plot(hours, slow, color="#1f4e79")
    taken.axhline(goal_ms, color="#b03030", linewidth=1, linestyle="--", label=f"goal {goal_ms:.0f} ms")
    taken.set_ylabel("p95 in ms, of 5 minutes")
    taken.set_ylim(0, 1.3 * max(goal_ms, float(np.nanmax(slow))) if len(outcome.arrivals) else goal_ms)
    taken.legend(loc="upper left", frameon=False)
    taken.set_xlabel("hour of the day")
    taken.set_xlim(0, 24)
    taken.set_xticks(range(0, 25, 3))
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=110)
