"""The HPA's own arithmetic, version 2: what a number of replicas becomes, look after look.

https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale: the ratio of figure and target with its
tolerance, the policies of each direction, and the window that a way down has to stay wanted for.
"""

import math
from collections import deque
from dataclasses import dataclass, field

LOOK_EVERY_S = 15.0
TOLERANCE = 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class Scaling:
    """As the manifest says it."""

    least: int = 2
    most: int = 10
    target_ms: float = 50.0
    up_percent: float = 100.0
    up_pods: int = 2
    up_period_s: float = 60.0
    down_pods: int = 1
    down_period_s: float = 120.0
    down_window_s: float = 600.0


@dataclass
class Autoscaler:
    """One Deployment's."""

    rules: Scaling
    replicas: int
    _wanted: deque[tuple[float, int]] = field(default_factory=deque)
    _changes: deque[tuple[float, int]] = field(default_factory=deque)

    def look(self, now: float, figure_ms: float, ready: int) -> int:
        """Return the number of replicas from now on.

        Args:
            now: In seconds.
            figure_ms: The mean of what the ready pods show.
            ready: How many show it.
        """
        ratio = figure_ms / self.rules.target_ms
        desired = self.replicas if abs(ratio - 1) <= TOLERANCE else math.ceil(max(ready, 1) * ratio)
        desired = min(max(desired, self.rules.least), self.rules.most)
        self._wanted.append((now, desired))
        while self._wanted[0][0] < now - self.rules.down_window_s:
            self._wanted.popleft()
        if desired < self.replicas:
            desired = min(self.replicas, max(one for _, one in self._wanted))
        allowed = self._limited(now, desired)
        if allowed != self.replicas:
            self._changes.append((now, allowed - self.replicas))
            self.replicas = allowed
        return self.replicas

    def _limited(self, now: float, desired: int) -> int:
        """Keep a change within its direction's policies."""
        rules = self.rules
        period = rules.up_period_s if desired > self.replicas else rules.down_period_s
        recent = sum(change for moment, change in self._changes if moment > now - period)
        begun = self.replicas - recent
        if desired > self.replicas:
            most = max(math.ceil(begun * (1 + rules.up_percent / 100)), begun + rules.up_pods)
            return min(desired, max(most, self.replicas))
        if desired < self.replicas:
            return max(desired, min(begun - rules.down_pods, self.replicas))
        return desired
