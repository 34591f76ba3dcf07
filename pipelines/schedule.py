"""A submitted pipeline's times: when it runs again, and how long the cluster keeps what a run's pods were."""

import re
from pathlib import Path
from typing import Any

import yaml

from imaging.errors import ConfigurationError

MOST_DAYS = 3650
RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
"""Of minute, hour, day, month and weekday."""
FIELD = re.compile(r"(\*|\d{1,2}(-\d{1,2})?)(/\d{1,2})?")


def cron_of(every: str) -> str:
    """Return the six fields that Kubeflow Pipelines asks for, seconds first, of the usual five.

    Args:
        every: `minute hour day month weekday`, in UTC, as `30 3 * * 1`.

    Raises:
        ConfigurationError: it is no such time.
    """
    fields = every.split()
    if len(fields) != len(RANGES) or not all(map(_fits, fields, RANGES)):
        raise ConfigurationError(
            f"expected five fields, minute hour day month weekday, as '30 3 * * 1' for Mondays at 3:30; got {every!r}"
        )
    return " ".join(["0", *fields])


def keep_for(package: Path, days: int) -> None:
    """Let the cluster take away a run's pods `days` after its end; record, registry and bucket keep what they have.

    Raises:
        ConfigurationError: for a number of days that cannot be.
    """
    if not 1 <= days <= MOST_DAYS:
        raise ConfigurationError(f"expected 1 to {MOST_DAYS} days, got {days}")
    documents: list[dict[str, Any]] = list(yaml.safe_load_all(package.read_text(encoding="utf-8")))
    seconds = days * 86_400
    kept = documents[1]["platforms"]["kubernetes"].setdefault("pipelineConfig", {})
    kept |= {"resourceTtlOnSuccess": seconds, "resourceTtlOnFailure": seconds}
    package.write_text(yaml.safe_dump_all(documents, sort_keys=False), encoding="utf-8")


def _fits(field: str, allowed: tuple[int, int]) -> bool:
    parts = field.split(",")
    if not all(FIELD.fullmatch(part) for part in parts):
        return False
    numbers = [int(number) for part in parts for number in re.findall(r"\d+", part.partition("/")[0])]
    steps = [int(part.partition("/")[2] or 1) for part in parts]
    return all(allowed[0] <= number <= allowed[1] for number in numbers) and all(steps)
