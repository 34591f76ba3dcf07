"""`thorax data ingest`: images of any layout become a dataset version."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import typer

from thorax.console import emit, progress, say

if TYPE_CHECKING:
    from imaging.data.ingest import IngestResult
    from imaging.settings import Settings

Source = Annotated[str, typer.Argument(help="A folder, zip file, or s3://bucket/prefix, of DICOM, PNG or JPEG files.")]
Labels = Annotated[
    str | None,
    typer.Option(help="Label table (CSV: file, label, patient_id, ...): a file, s3:// address, or name inside SOURCE."),
]
Out = Annotated[Path | None, typer.Option(help="Folder of dataset versions; default: datasets in the home.")]
Size = Annotated[int | None, typer.Option(help="Side of the packed images, in pixels; default: 224, or MNIST's 28.")]
Name = Annotated[str, typer.Option(help="What the version's name begins with.")]
MinimumSide = Annotated[
    int | None, typer.Option(help="Set images with a shorter side aside, in pixels; default: 64, or 8 for pictures.")
]
Layout = Annotated[
    str,
    typer.Option(help="auto, table, folders, kermany, nih, covid-chestxray, mnist or cifar10: how SOURCE is laid out."),
]
Subject = Annotated[
    str | None, typer.Option(help="radiograph (screened for a chest, grey) or picture (of anything, in colour).")
]
Grey = Annotated[bool, typer.Option("--grey", help="Make colour pictures grey.")]
Finding = Annotated[str, typer.Option(help="With nih and covid-chestxray: this finding against the rest.")]
Workers = Annotated[
    int | None, typer.Option(min=1, help="Images decoded at once; default: one for each core, up to 8.")
]
Quiet = Annotated[bool, typer.Option("--quiet", help="Say nothing but the result.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def ingest(
    source: Source,
    labels: Labels = None,
    out: Out = None,
    size: Size = None,
    name: Name = "dataset",
    minimum_side: MinimumSide = None,
    layout: Layout = "auto",
    subject: Subject = None,
    grey: Grey = False,
    finding: Finding = "",
    workers: Workers = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Check, de-identify and pack images into a dataset version named by its digest."""
    from audit import record
    from imaging.data.ingest import ingest as make_dataset
    from imaging.data.pseudonyms import pseudonym_key

    settings = _settings()
    with progress() as bar:
        task = bar.add_task("Reading images", total=None, visible=not quiet)
        result = make_dataset(
            source,
            out or settings.home / "datasets",
            labels=labels,
            name=name,
            size=size,
            pseudonym_key=pseudonym_key(settings),
            minimum_side=minimum_side,
            layout=layout,
            subject=_subject(subject),
            grey=grey,
            finding=finding,
            workers=workers,
            on_progress=lambda done, total: bar.update(task, completed=done, total=total or None),
            settings=settings,
        )
    record("dataset.created", subject=result.digest, details={"counts": result.counts, "problems": result.problems})
    _tell(result, settings, quiet=quiet, as_json=as_json)


def _tell(result: "IngestResult", settings: "Settings", *, quiet: bool, as_json: bool) -> None:
    """Publish the version, and say how it was read and what it holds."""
    if not quiet:
        say(f"read as {result.layout}, in {'colour' if result.channels == 3 else 'grey'}")
        for note in result.notes:
            say(f"note: {note}")
    document = {
        "path": str(result.path),
        "digest": result.digest,
        "counts": result.counts,
        "problems": result.problems,
        "layout": result.layout,
        "channels": result.channels,
        "notes": list(result.notes),
        "published": _publish(result.path, settings),
    }
    emit(document, as_json=as_json, text=_table(result))


def _subject(name: str | None) -> "Literal['radiograph', 'picture'] | None":
    if name not in (None, "radiograph", "picture"):
        raise typer.BadParameter("expected radiograph or picture", param_hint="--subject")
    return cast("Literal['radiograph', 'picture'] | None", name)


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
