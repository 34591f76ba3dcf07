"""`thorax capacity`: how many pods a hospital's day needs, and what they cost."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from thorax.console import emit

if TYPE_CHECKING:
    from thorax.cluster.capacity import Choice

app = typer.Typer(help="Plan replicas and GPUs by simulating a day.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Plan replicas and GPUs by simulating a day."""


@app.command()
def plan(
    studies: Annotated[int, typer.Option(min=1, help="A day.")],
    service_ms: Annotated[float, typer.Option(min=0.1, help="What one image takes on a worker, as measured.")],
    images: Annotated[float, typer.Option(min=1, help="Of a study.")] = 2.0,
    burst: Annotated[float, typer.Option(min=1, help="Images that come at the same moment, on average.")] = 4.0,
    workers: Annotated[int, typer.Option(min=1, help="Of a pod.")] = 1,
    start_s: Annotated[float, typer.Option(min=0, help="Until a new pod answers; a new node's start too.")] = 60.0,
    goal_ms: Annotated[float, typer.Option(min=1, help="Within which 19 of 20 are answered.")] = 1000.0,
    most: Annotated[int, typer.Option(min=1, max=100, help="Pods.")] = 10,
    price: Annotated[float, typer.Option(min=0, help="Of a pod's hour, in your currency.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Of the day.")] = 0,
    plot: Annotated[Path | None, typer.Option(help="A picture (SVG or PNG) of the best settings' day.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Simulate a day under many settings of the autoscaler; print what each comes to, the cheapest that holds first."""
    from thorax.cluster.arrivals import Demand
    from thorax.cluster.capacity import Service, compare

    demand = Demand(studies=studies, images_per_study=images, burst=burst)
    service = Service(mean_ms=service_ms, workers=workers, start_s=start_s)
    choices = compare(demand, service, goal_ms=goal_ms, most=most, seed=seed)
    if plot is not None:
        from thorax.cluster.drawing import draw_day

        draw_day(choices[0], plot, goal_ms=goal_ms)
    rows = [_row(one, studies, price) for one in choices]
    emit({"goal_ms": goal_ms, "choices": rows}, as_json=as_json, text=_table(rows, goal_ms, price))
    if not choices[0].holds:
        raise typer.Exit(1)


def _row(choice: "Choice", studies: int, price: float) -> dict[str, Any]:
    outcome, rules = choice.outcome, choice.rules
    return {
        "least": rules.least,
        "target_ms": rules.target_ms,
        "p50_ms": round(outcome.p50_ms, 1),
        "p95_ms": round(outcome.p95_ms, 1),
        "p99_ms": round(outcome.p99_ms, 1),
        "most_replicas": outcome.most_replicas,
        "pod_hours": round(outcome.pod_hours, 1),
        "cost_per_1000_studies": round(outcome.pod_hours * price / studies * 1000, 2),
        "holds": choice.holds,
    }


def _table(rows: list[dict[str, Any]], goal_ms: float, price: float) -> Any:
    from rich.table import Table

    best = rows[0]
    title = (
        f"minReplicas {best['least']}, target {best['target_ms']:.0f} ms: p95 {best['p95_ms']:.0f} ms"
        if best["holds"]
        else f"no setting answers 19 of 20 within {goal_ms:.0f} ms; raise --most, or make an image faster"
    )
    table = Table(title=title, title_justify="left")
    names = ["least", "target", "p50", "p95", "p99", "most", "pod hours"] + (["per 1000 studies"] if price else [])
    for name in names:
        table.add_column(name, justify="right")
    for row in rows[:12]:
        cells = [row["least"], *(f"{row[key]:.0f}" for key in ("target_ms", "p50_ms", "p95_ms", "p99_ms"))]
        cells += [row["most_replicas"], f"{row['pod_hours']:.1f}"]
        cells += [f"{row['cost_per_1000_studies']:.2f}"] if price else []
        table.add_row(*(str(cell) for cell in cells), style=None if row["holds"] else "dim")
    return table
