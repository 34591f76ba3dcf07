"""`thorax data fetch`: public collections from their publishers or a mirror; nothing else here uses the network."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from thorax.console import emit, say, talk

if TYPE_CHECKING:
    from imaging.data.public.fetching import FetchResult

Name = Annotated[str | None, typer.Argument(help="Which one; without it, all are listed with size and licence.")]
To = Annotated[Path | None, typer.Option(help="Folder of collections; default: public in the home.")]
Mirror = Annotated[str, typer.Option(help="Address of a folder that holds the files as NAME/FILE.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Say nothing but the result.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def fetch(name: Name = None, to: To = None, mirror: Mirror = "", quiet: Quiet = False, as_json: Json = False) -> None:
    """Download a public collection, or list them. A download that broke off is continued by the same command."""
    from imaging.data.public.collections import collection
    from imaging.data.public.fetching import fetch_public
    from imaging.settings import Settings

    if name is None:
        _list(as_json=as_json)
        return
    wanted = collection(name)
    if not quiet:
        say(f"{wanted.title}; {_size(wanted.megabytes)}; licence: {wanted.licence}")
    with _progress(quiet=quiet) as bar:
        tasks: dict[str, Any] = {}

        def on_file(file: str, done: int, total: int) -> None:
            if file not in tasks:
                tasks[file] = bar.add_task(file, total=None)
            bar.update(tasks[file], completed=done, total=total or None)

        result = fetch_public(name, to or Settings().home / "public", mirror=mirror, on_file=on_file)
    _tell(result, name, wanted.ingest, quiet=quiet, as_json=as_json)


def _tell(result: "FetchResult", name: str, options: str, *, quiet: bool, as_json: bool) -> None:
    if not quiet:
        if result.was_there:
            say("it was there already; nothing was downloaded")
        elif result.pinned:
            say(
                f"nobody publishes a checksum of {', '.join(result.pinned)}: what came now is written down in "
                f"{result.path.parent / 'checksums.json'} and is what must come next time"
            )
        say(f"next: thorax data ingest {result.path} --name {name} {options}".rstrip())
    document = {
        "path": str(result.path),
        "was_there": result.was_there,
        "digests": result.digests,
        "pinned": list(result.pinned),
    }
    emit(document, as_json=as_json, text=str(result.path))


def _list(*, as_json: bool) -> None:
    from rich.table import Table

    from imaging.data.public.collections import COLLECTIONS

    table = Table("name", "what", "download", "licence", box=None, header_style="bold")
    for name, one in COLLECTIONS.items():
        table.add_row(name, one.title, _size(one.megabytes), one.licence)
    document = [
        {"name": name, "title": one.title, "megabytes": one.megabytes or None, "licence": one.licence}
        for name, one in COLLECTIONS.items()
    ]
    emit(document, as_json=as_json, text=table)


def _size(megabytes: int) -> str:
    if not megabytes:
        return "size not stated"
    return f"{megabytes / 1000:.1f} GB" if megabytes >= 1000 else f"{megabytes} MB"


def _progress(*, quiet: bool) -> Any:
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    return Progress(*columns, TimeRemainingColumn(), console=talk, transient=True, disable=quiet)
