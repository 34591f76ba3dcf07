"""`thorax data`: make synthetic radiographs, and turn radiographs into a dataset version."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from thorax.commands.data_phantom import phantom
from thorax.console import emit, progress, say

if TYPE_CHECKING:
    from imaging.data.ingest import IngestResult
    from imaging.settings import Settings

app = typer.Typer(help="Make or ingest radiographs.", no_args_is_help=True)


Source = Annotated[str, typer.Argument(help="A folder, or s3://bucket/prefix, of DICOM, PNG or JPEG files.")]
Labels = Annotated[
    str | None,
    typer.Option(help="Label table (CSV: file, label, patient_id, ...): a file, s3:// address, or name inside SOURCE."),
]
Out = Annotated[Path | None, typer.Option(help="Folder of dataset versions; default: datasets in the home.")]
Size = Annotated[int, typer.Option(help="Side of the packed images, in pixels.")]
Name = Annotated[str, typer.Option(help="What the version's name begins with.")]
MinimumSide = Annotated[int, typer.Option(help="Set images with a shorter side aside, in pixels.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@app.command()
def ingest(
    source: Source,
    labels: Labels = None,
    out: Out = None,
    size: Size = 224,
    name: Name = "dataset",
    minimum_side: MinimumSide = 64,
    as_json: Json = False,
) -> None:
    """Check, de-identify and pack radiographs into a dataset version named by its digest."""
    from audit import record
    from imaging.data.ingest import ingest as make_dataset
    from imaging.data.pseudonyms import pseudonym_key

    settings = _settings()
    with progress() as bar:
        task = bar.add_task("Reading radiographs", total=None)
        result = make_dataset(
            source,
            out or settings.home / "datasets",
            labels=labels,
            name=name,
            size=size,
            pseudonym_key=pseudonym_key(settings),
            minimum_side=minimum_side,
            on_progress=lambda done, total: bar.update(task, completed=done, total=total),
            settings=settings,
        )
    record("dataset.created", subject=result.digest, details={"counts": result.counts, "problems": result.problems})
    document = {"path": str(result.path), "digest": result.digest, "counts": result.counts, "problems": result.problems}
    emit({**document, "published": _publish(result.path, settings)}, as_json=as_json, text=_table(result))


def _publish(version: Path, settings: "Settings") -> str:
    """Put the version into the stack's bucket where there is one; a bucket that is down costs nothing but that."""
    from imaging.data.bucket import publish
    from imaging.errors import ServiceError

    if not settings.s3_endpoint:
        return ""
    try:
        return publish(version, settings)
    except ServiceError as error:
        say(f"kept here and not published: {error}; `thorax up`, then run this again")
        return ""


def _settings() -> "Settings":
    """Return the settings, with the address and keys of the one-machine stack's bucket where it has one."""
    import contextlib

    from imaging.errors import ServiceError
    from imaging.settings import Settings

    settings = Settings()
    if not settings.s3_endpoint:
        from thorax.stack.environment import apply

        with contextlib.suppress(ServiceError):  # never started: boto3's own AWS_* variables decide
            apply(settings.home, "trainer")
        settings = Settings()
    return settings


def _table(result: "IngestResult") -> Any:
    from rich.console import Group
    from rich.table import Table

    classes = Table("class", "images", "patients", box=None, header_style="bold")
    for name, count in result.counts.items():
        classes.add_row(name, str(count["images"]), str(count["patients"]))
    aside = Table("set aside", "images", box=None, header_style="bold")
    for kind, number in result.problems.items():
        if number:
            aside.add_row(kind, str(number))
    where = f"{result.path}\n{result.digest}\nreport: {result.path / 'ingest_report.html'}"
    return Group(classes, *([aside] if aside.row_count else []), where)


app.command()(phantom)
