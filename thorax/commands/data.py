"""`thorax data`: fetch public images, make synthetic radiographs, and turn images into a dataset version."""

from collections.abc import Callable
from typing import Any

import typer

from thorax.commands.data_fetch import fetch
from thorax.commands.data_ingest import ingest
from thorax.commands.data_phantom import phantom

app = typer.Typer(help="Fetch, make or ingest images.", no_args_is_help=True)

COMMANDS: dict[str, Callable[..., Any]] = {"fetch": fetch, "ingest": ingest, "phantom": phantom}

for _name, _command in COMMANDS.items():
    app.command(_name)(_command)
