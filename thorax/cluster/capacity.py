"""A day of a serving Deployment, simulated: requests, pods with their workers, and the autoscaler between them.

Each request goes to a ready pod at random, as a Service sends it, and waits there for a worker: so the queues are the
pods' own, and longer than one common queue's would be. Checked against the formula of Pollaczek and Khinchine.
"""

import heapq
from collections import deque
from dataclasses import dataclass, field, replace

import numpy as np

from thorax.cluster.arrivals import DAY_S, Demand, draw
from thorax.cluster.autoscaler import LOOK_EVERY_S, Autoscaler, Scaling

FIGURE_OVER_S = 60.0
"""The adapter's rate is over the last minute."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Service:
    """What an answer takes on one pod."""

    mean_ms: float
    deviation: float = 0.3
    """Standard deviation over the mean; times are log-normal, and constant where 0."""
    workers: int = 1
    start_s: float = 60.0
    """From a new pod's beginning to its first answer; of a new node, its start too."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What a day came to."""

    requests: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    most_replicas: int
    pod_hours: float
    pods: np.ndarray = field(repr=False)
    """(looks,) replicas at each look of the autoscaler."""
    latency_ms: np.ndarray = field(repr=False)
    """(N,) of each request, in the order of arrival."""
    arrivals: np.ndarray = field(repr=False)
    """(N,) seconds from midnight."""


class _Pod:
    """A pod: since when it answers, and when each worker is free."""

    __slots__ = ("free", "ready", "waits")

    def __init__(self, ready: float, workers: int) -> None:
        self.ready, self.free = ready, [ready] * workers
        self.waits: deque[tuple[float, float]] = deque()

    def take(self, now: float, service_s: float) -> float:
        """Return how long a request waits and is answered, in seconds."""
        start = max(now, heapq.heappop(self.free))
        heapq.heappush(self.free, start + service_s)
        self.waits.append((start, start - now))
        return start + service_s - now

    def figure_ms(self, now: float) -> float:
        """Return the mean wait of what began in the last minute; 0 where nothing did."""
        while self.waits and self.waits[0][0] < now - FIGURE_OVER_S:
            self.waits.popleft()
        begun = [wait for start, wait in self.waits if start <= now]
        return 1000 * sum(begun) / len(begun) if begun else 0.0


def simulate(demand: Demand, service: Service, rules: Scaling, *, seed: int = 0) -> Outcome:
    """Simulate one day, from midnight, with the least number of pods ready."""
    chance = np.random.default_rng(seed + 1)
    arrivals = draw(demand, seed=seed)
    times = _service_times(service, len(arrivals), chance)
    picks = chance.random(len(arrivals))
    pods = [_Pod(0.0, service.workers) for _ in range(rules.least)]
    scaler, looks, latency = Autoscaler(rules=rules, replicas=rules.least), [], np.empty(len(arrivals))
    next_look = LOOK_EVERY_S
    for index, now in enumerate(arrivals):
        while next_look <= now:
            looks.append(_look(scaler, pods, next_look, service))
            next_look += LOOK_EVERY_S
        ready = [pod for pod in pods if pod.ready <= now] or pods[:1]
        latency[index] = 1000 * ready[int(picks[index] * len(ready))].take(now, times[index])
    while next_look <= DAY_S:
        looks.append(_look(scaler, pods, next_look, service))
        next_look += LOOK_EVERY_S
    taken = np.array(looks)
    quantiles = np.percentile(latency, (50, 95, 99)) if len(latency) else np.zeros(3)
    return Outcome(
        requests=len(arrivals),
        p50_ms=float(quantiles[0]),
        p95_ms=float(quantiles[1]),
        p99_ms=float(quantiles[2]),
        most_replicas=int(taken.max()),
        pod_hours=float(taken.sum() * LOOK_EVERY_S / 3600),
        pods=taken,
        latency_ms=latency,
        arrivals=arrivals,
    )


def _service_times(service: Service, count: int, chance: np.random.Generator) -> np.ndarray:
    mean = service.mean_ms / 1000
    if not service.deviation:
        return np.full(count, mean)
    spread = np.sqrt(np.log1p(service.deviation**2))
    return chance.lognormal(np.log(mean) - spread**2 / 2, spread, count)


def _look(scaler: Autoscaler, pods: list[_Pod], now: float, service: Service) -> int:
    """Let the autoscaler look, and begin or end pods; the newest end first, and answer what they have in hand."""
    ready = [pod for pod in pods if pod.ready <= now]
    figure = sum(pod.figure_ms(now) for pod in ready) / max(len(ready), 1)
    wanted = scaler.look(now, figure, len(ready))
    pods += [_Pod(now + service.start_s, service.workers) for _ in range(wanted - len(pods))]
    del pods[wanted:]
    return wanted


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """Settings and what a day with them comes to."""

    rules: Scaling
    outcome: Outcome
    holds: bool
    """Whether 19 of 20 requests are answered within the goal."""


def compare(demand: Demand, service: Service, *, goal_ms: float, most: int = 10, seed: int = 0) -> list[Choice]:
    """Simulate the day under a grid of settings; the cheapest that holds the goal comes first."""
    choices = []
    for least in sorted({1, 2, 3, 4, 6, most}):
        for target in (25.0, 50.0, 100.0, 200.0) if least < most else (50.0,):
            rules = replace(Scaling(), least=least, most=max(most, least), target_ms=target)
            outcome = simulate(demand, service, rules, seed=seed)
            choices.append(Choice(rules=rules, outcome=outcome, holds=outcome.p95_ms <= goal_ms))
    return sorted(choices, key=lambda one: (not one.holds, one.outcome.pod_hours if one.holds else one.outcome.p95_ms))
