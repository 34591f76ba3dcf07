"""The release controller: `python -m serving.controller`, which makes TorchServe serve the champion."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

from thorax.stack.environment import variables_for
from thorax.stack.processes import ProcessRecord
from thorax.stack.site import Site

STARTED = "controller.started"
TAIL = 64 * 1024


def command(site: Site) -> list[str]:
    """One process that looks every second."""
    return [site.python, "-P", "-m", "serving.controller"]


def variables(site: Site) -> dict[str, str]:
    """What a command run as the MLflow user `controller` is given."""
    return variables_for(site, "controller")


def is_ready(site: Site) -> bool:
    """Whether this life of it said that it started. It answers nobody, and waits by itself for what it needs."""
    record = ProcessRecord.load(site.places.record("controller"))
    log = site.places.log("controller")
    return record is not None and any(_time(line) >= record.create_time - 1 for line in _lines(log))


def _lines(log: Path) -> list[dict[str, Any]]:
    """The log's latest tellings of a start."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - TAIL))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    return [json.loads(line) for line in text.splitlines() if line.startswith("{") and f'"{STARTED}"' in line]


def _time(line: dict[str, Any]) -> float:
    return datetime.fromisoformat(line["time"]).timestamp()
