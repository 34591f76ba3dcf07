"""`thorax demo`: the whole loop on one machine."""

from pathlib import Path
from typing import Annotated

import typer

from thorax.console import emit


def demo(
    data: Annotated[
        Path | None,
        typer.Option(envvar="THORAX_DEMO_DATA", help="A folder of real images with a manifest.csv; else the phantom."),
    ] = None,
    year: Annotated[
        bool, typer.Option("--year", help="A hospital's year instead: what the watch finds, and what follows.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Take radiographs to a gated, approved, served, watched and recorded model; then leave it running."""
    from imaging.settings import Settings

    if year:
        from thorax.demo.year.story import tell_year

        told = tell_year(Settings().home)
        emit(told, as_json=as_json, text=f"{told['page']}")
        if not told["as_it_should_be"]:
            raise typer.Exit(1)
        return
    from thorax.demo.story import tell

    result = tell(Settings().home, data)
    emit(result, as_json=as_json, text=f"{result['page']}")
