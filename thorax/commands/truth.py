"""`thorax monitor performance` and `thorax monitor queue`: what labels say of the answers, and which to ask for."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from thorax.console import emit

if TYPE_CHECKING:
    from rich.table import Table

    from monitoring.truth.look import PerformanceLook

Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
Window = Annotated[str, typer.Option(help="How far back, as 90d or 12h.")]


def performance(window: Window = "90d", as_json: Json = False) -> None:
    """Measure the serving model's answers by the labels that came in since, week by week and by site."""
    from imaging.settings import Settings

    found = look_at(Settings().home, window=window)
    told = {
        "answers": found.found.whole.answers,
        "labelled": found.found.whole.labelled,
        "fell": [one.name for one in found.found.alarms],
        "verdict": found.verdict,
        "html": str(found.page),
        "json": str(found.page.with_suffix(".json")),
    }
    emit(told, as_json=as_json, text=_table(found))


def queue(
    window: Window = "14d",
    most: Annotated[int, typer.Option(min=1, max=10_000, help="How many images at most.")] = 50,
    out: Annotated[Path | None, typer.Option(help="Write a CSV file.")] = None,
    as_json: Json = False,
) -> None:
    """Choose the images that a radiologist should label: uncertain, unusual, disputed by the shadow, and at random.

    The reviewers' page gets the same list from GET /queue.
    """
    import json

    from imaging.atomic import write_text
    from imaging.settings import Settings
    from monitoring.served import served_model
    from monitoring.truth.look import queue_of
    from monitoring.truth.queue import to_csv
    from thorax.commands.monitor import watcher_of

    settings = Settings()
    watcher_of(settings.home).collect()
    asked = queue_of(settings, served_model(settings.home), window=window, most=most)
    rows = [one.to_json() for one in asked]
    write_text(settings.home / "feedback" / "queue.json", json.dumps(rows, indent=1) + "\n")
    if out:
        write_text(out, to_csv(asked))
    kinds = sorted({one.why for one in asked})
    counts = ", ".join(f"{sum(one.why == kind for one in asked)} {kind}" for kind in kinds)
    emit(rows, as_json=as_json, text=f"{len(rows)} images: {counts}" if rows else "nothing to ask about")


def look_at(home: Path, *, window: str = "90d") -> "PerformanceLook":
    """Collect the prediction log and measure the model that serves by its labels."""
    from audit import AuditLog, default_folder
    from imaging.settings import Settings
    from monitoring.exporter import write_metrics
    from monitoring.served import served_model
    from monitoring.truth.look import look_at_performance
    from thorax.commands.monitor import watcher_of

    watcher_of(home).collect()
    settings, served = Settings(home=home), served_model(home)
    look = look_at_performance(
        settings,
        AuditLog(default_folder(home)),
        served,
        actor=settings.actor or "monitor",
        subject=f"chest-xray/{served.version}",
        window=window,
    )
    write_metrics(settings)
    return look


def _table(look: "PerformanceLook") -> "Table":
    from rich.table import Table

    table = Table(title=look.verdict, title_justify="left", caption=str(look.page), caption_justify="left")
    for name in ("where", "class", "labelled", "sensitivity", "estimated", "specificity", "estimated", "AUROC"):
        table.add_column(name, justify="left" if name in {"where", "class"} else "right")
    for stretch in (look.found.whole, *look.found.sites):
        for name, one in stretch.classes.items():
            estimated = one.estimated
            table.add_row(
                stretch.name,
                name,
                f"{stretch.labelled} of {stretch.answers}",
                *(_shown(one.sensitivity), _number(estimated.sensitivity)),
                *(_shown(one.specificity), _number(estimated.specificity)),
                _shown(one.auroc),
            )
    return table


def _shown(figure: Any) -> str:
    if figure.value is None:
        return "–"
    return _number(figure.value) + ("" if figure.low is None else f" ({figure.low:.2f} to {figure.high:.2f})")


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
