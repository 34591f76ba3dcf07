"""What people and machines see: results on stdout, talk and progress on stderr."""

import json
import sys
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

talk = Console(stderr=True, highlight=False)
"""Progress, notes and errors."""


def say(message: str) -> None:
    """Tell the person at the terminal something; machines do not read it."""
    talk.print(message, soft_wrap=True)


def emit(result: Any, *, as_json: bool, text: Any = None) -> None:
    """Print a result: one JSON document, or `text` (a string or a rich renderable; `result` where absent)."""
    if as_json:
        sys.stdout.write(json.dumps(result, default=str) + "\n")
        return
    shown = result if text is None else text
    if isinstance(shown, str):
        sys.stdout.write(shown + "\n")
    else:
        Console(highlight=False).print(shown)


def progress() -> Progress:
    """Return a progress bar for long work, drawn on stderr."""
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=talk,
        transient=True,
    )
