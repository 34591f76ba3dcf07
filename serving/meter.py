"""What a batch is measured by: figures of the endpoint for Prometheus, without a word of a caller's or a patient's.

TorchServe's workers have no metrics port of their own: a worker prints a figure, and TorchServe adds it up and shows it
at its metrics address. `METRICS` is what its configuration must name (`thorax/stack/metrics.py`).
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from serving.answer import Answer
from serving.reading import Reading

logger = logging.getLogger(__name__)

Kind = Literal["counter", "histogram"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Metric:
    """One figure as Prometheus has it."""

    name: str
    kind: Kind
    unit: str
    dimensions: tuple[str, ...]
    help: str


METRICS = (
    Metric(
        name="thorax_requests_total",
        kind="counter",
        unit="Count",
        dimensions=("code", "version"),
        help="requests by outcome: ok, or the code of the refusal",
    ),
    Metric(
        name="thorax_triage_total",
        kind="counter",
        unit="Count",
        dimensions=("decision", "version"),
        help="answers by what triage decided: report or refer",
    ),
    Metric(
        name="thorax_seconds",
        kind="histogram",
        unit="s",
        dimensions=("part", "version"),
        help="seconds of a batch: decode, predict (network and heat maps), all",
    ),
    Metric(
        name="thorax_batch_size",
        kind="histogram",
        unit="Count",
        dimensions=("version",),
        help="requests in a batch",
    ),
    Metric(
        name="thorax_rows_not_logged_total",
        kind="counter",
        unit="Count",
        dimensions=("version",),
        help="rows of the prediction log that the disk did not take: they wait in memory, or are lost",
    ),
    Metric(
        name="thorax_score",
        kind="histogram",
        unit="Count",
        dimensions=("class", "version"),
        help="calibrated probability of each class, answer by answer",
    ),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Taken:
    """Seconds that a batch took, and how many of its rows the disk did not take."""

    decode: float
    predict: float
    all: float
    rows_not_logged: int = 0


class Meter(Protocol):
    """Where the figures of a batch go."""

    def measure(self, readings: Sequence[Reading], taken: Taken) -> None:
        """Take a batch; never raise."""
        ...


class NoMeter:
    """For who measures nothing."""

    def measure(self, readings: Sequence[Reading], taken: Taken) -> None:
        """Do nothing."""


class TorchServeMeter:
    """Hands figures to TorchServe by the metrics of a worker's context."""

    def __init__(self, cache: Any, version: str) -> None:
        """Look the metrics up.

        Raises:
            LookupError: TorchServe was configured without them.
        """
        from ts.metrics.metric_cache_errors import MetricsCacheKeyError
        from ts.metrics.metric_type_enum import MetricTypes

        try:
            self._metrics = {
                metric.name: cache.get_metric(metric.name, MetricTypes[metric.kind.upper()]) for metric in METRICS
            }
        except MetricsCacheKeyError as error:
            raise LookupError("TorchServe's metrics configuration does not name ours") from error
        self._version = version

    def measure(self, readings: Sequence[Reading], taken: Taken) -> None:
        """Take a batch."""
        self._add("thorax_batch_size", len(readings))
        for part, seconds in (("decode", taken.decode), ("predict", taken.predict), ("all", taken.all)):
            self._add("thorax_seconds", round(seconds, 6), part)
        if taken.rows_not_logged:
            self._add("thorax_rows_not_logged_total", taken.rows_not_logged)
        for reading in readings:
            body = reading.body
            if not isinstance(body, Answer):
                self._add("thorax_requests_total", 1, body.code)
                continue
            self._add("thorax_requests_total", 1, "ok")
            self._add("thorax_triage_total", 1, body.triage.decision)
            for name, probability in body.probabilities.items():
                self._add("thorax_score", round(probability, 6), name)

    def _add(self, name: str, value: float, *dimensions: str) -> None:
        self._metrics[name].add_or_update(value, [*dimensions, self._version])


def meter_of(cache: Any, version: str) -> Meter:
    """Return TorchServe's meter; none where it was configured without our metrics, which is no reason not to answer."""
    if cache is None:
        return NoMeter()
    try:
        return TorchServeMeter(cache, version)
    except LookupError as error:
        logger.warning("no metrics of the endpoint: %s", error)
        return NoMeter()
