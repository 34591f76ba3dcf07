"""`thorax serve tune`: good settings of the endpoint for this machine."""

from pathlib import Path
from typing import Annotated

import typer

from thorax.console import emit, say

app = typer.Typer(name="serve", help="The endpoint: how it is run on this machine.")
Package = Annotated[Path | None, typer.Option(help="A model directory; the one that serves where absent.")]
Image = Annotated[Path | None, typer.Option(help="What is asked about; the package's reference image where absent.")]
Callers = Annotated[int, typer.Option(min=1, max=256, help="How many ask at the same time.")]
Requests = Annotated[int, typer.Option(min=1, help="Requests in each of two rounds.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]


@app.callback()
def serve() -> None:
    """Hold the commands of the group."""


@app.command("tune")
def tune(
    package: Package = None, image: Image = None, callers: Callers = 8, requests: Requests = 48, as_json: AsJson = False
) -> None:
    """Try workers, threads and batches on a server of their own, and keep the best for the next release."""
    from rich.table import Table

    from imaging.settings import Settings
    from monitoring.served import served_model
    from thorax import serve_tuning

    settings = Settings()
    model = package or served_model(settings.home).package
    data = (image or model / "reference_image.png").read_bytes()
    say("a server of its own is asked, which takes a minute or two; what serves is slower meanwhile")
    tried = serve_tuning.tune(
        model,
        data,
        settings,
        callers=callers,
        requests=requests,
        tell=lambda one: say(f"{_words(one.to_json())}: {one.answers_per_s:.1f} answers/s"),
    )
    path = serve_tuning.write_choice(settings.home, tried, callers=callers)
    best = serve_tuning.best_of(tried)
    table = Table("workers", "threads each", "batch", "answers/s", "p99, s", "")
    for one in tried:
        row = one.to_json()
        cells = [row["workers"], row["threads"] or "all", row["batch_size"], row["answers_per_s"], row["p99_s"]]
        table.add_row(*map(str, cells), "chosen" if one is best else "")
    rows = [{**one.to_json(), "chosen": one is best} for one in tried]
    emit({"written": str(path), "tried": rows}, as_json=as_json, text=table)
    say(f"written to {path}; the next release uses it")


def _words(row: dict[str, float]) -> str:
    threads = "all cores" if not row["threads"] else f"{row['threads']:.0f} thread each"
    return f"{row['workers']:.0f} worker(s), {threads}, batches of {row['batch_size']:.0f}"
