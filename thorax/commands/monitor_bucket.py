"""`thorax monitor check-bucket`: the drift check away from the machine that serves, for a job of a cluster."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from thorax.console import emit, say

if TYPE_CHECKING:
    from monitoring.drift import DriftResult
    from monitoring.served import ServedModel


def check_bucket(
    bucket: Annotated[str, typer.Option(help="The prediction log's bucket.")] = "predictions",
    window: Annotated[str, typer.Option(help="How far back, as 7d; the plan's where absent.")] = "",
    version: Annotated[str, typer.Option(help="Of the registry; the champion where absent.")] = "",
    reports: Annotated[str, typer.Option(help="The bucket that keeps reports; then MLflow gets one too.")] = "",
    out: Annotated[Path | None, typer.Option(help="A folder for the report; else one in the home.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Check drift from the log's bucket and the registry alone; only look, and start nothing."""
    import uuid
    from datetime import UTC, datetime

    from components.drift_report import check_version
    from imaging.settings import Settings
    from monitoring.exporter import write_metrics

    settings = Settings()
    name = f"{datetime.now(UTC).strftime('%Y%m%dT%H%M%SZ')}-{uuid.uuid4().hex[:6]}"
    folder = out or settings.home / "drift" / name
    found = check_version(folder, bucket=bucket, window=window, version=version, reports=reports)
    if out is None:
        write_metrics(settings)
    told = {"outcome": found.outcome, "images": found.images, "version": found.version, "kept": found.kept}
    where = found.kept or str(folder)
    text = f"{found.outcome}: {found.images} images of version {found.version}; {where}"
    emit({**told, "report": str(folder)}, as_json=as_json, text=text)


def publish(home: Path, served: "ServedModel", result: "DriftResult") -> None:
    """Copy a look's report to the stack's bucket and beside the version in MLflow; the look stands without either."""
    from imaging.errors import ThoraxError
    from monitoring.publishing import to_bucket, to_registry
    from thorax.stack.environment import settings_for
    from thorax.stack.places import Places, load_ports
    from thorax.stack.s3_server import REPORTS

    if load_ports(Places.of(home)) is None:  # no stack was ever here: the report stays on this machine
        return
    folder = result.json.parent
    try:
        settings = settings_for(home, "trainer")
        to_bucket(folder, REPORTS, f"drift/{served.version}/{folder.name}", settings)
        to_registry(folder, served.version, f"drift/{folder.name}", settings)
    except ThoraxError as error:
        say(f"warning: the report's copies are not kept: {error}")


def trends(
    out: Annotated[Path | None, typer.Option(help="The page (.html); `trends.html` in the home where absent.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Draw what the looks of weeks found on one page: drift, sites, images, and figures by labels."""
    from imaging.settings import Settings
    from monitoring.trends import write_trends

    home = Settings().home
    page = out or home / "monitoring" / "trends.html"
    found = write_trends(home, page)
    told = {"page": str(page), "looks": len(found["looks"]), "weeks": len(found["weeks"])}
    emit(
        told, as_json=as_json, text=f"{len(found['looks'])} drift checks, {len(found['weeks'])} weeks of labels: {page}"
    )
