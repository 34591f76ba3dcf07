"""`thorax infra`: the manifests of a cluster, and whether a cluster has what they need."""

from pathlib import Path
from typing import Annotated

import typer

from thorax.console import emit, say

app = typer.Typer(help="Thorax on Kubernetes: render manifests, check a cluster.", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


@app.command()
def render(
    overlay: Annotated[str, typer.Argument(help="local, staging or production.")],
    out: Annotated[Path | None, typer.Option(help="A file to write instead of stdout.")] = None,
) -> None:
    """Print an overlay's objects as YAML, as `kubectl apply --server-side` takes them."""
    from imaging.atomic import write_text
    from thorax.cluster.manifests import NOT_RELEASED, images, objects
    from thorax.cluster.manifests import render as rendered

    text = rendered(overlay)
    missing = [image for image in images(objects(text)) if image.endswith(NOT_RELEASED)]
    if missing:
        say(f"note: {len(missing)} images have no release yet in infra/releases/{overlay}: no node would find them")
    if out is None:
        typer.echo(text, nl=False)
    else:
        write_text(out, text)
        say(f"{len(objects(text))} objects in {out}")


@app.command()
def release(
    overlay: Annotated[str, typer.Argument(help="staging or production.")],
    images: Annotated[list[str], typer.Argument(help="Each as registry/name@sha256:…")],
) -> None:
    """Name the images that an overlay runs by their digests, in infra/releases; to be committed."""
    from thorax.cluster.manifests import name_images

    path = name_images(overlay, images)
    say(f"{len(images)} images in {path}; `git diff` shows them")


@app.command()
def bootstrap(
    overlay: Annotated[str, typer.Argument(help="local, staging or production.")] = "production",
    as_json: Json = False,
) -> None:
    """Say the ordered steps to a running platform, and look which of them this cluster has; exit 1 where one lacks."""
    from thorax.cluster.bootstrap import steps

    rows = [step.look() for step in steps(overlay)]
    told = [{"step": row.name, "state": row.state, "how": row.how, "found": row.found} for row in rows]
    marks = {"done": "[green]✓[/green]", "missing": "[red]✗[/red]", "unknown": "?"}
    lines = [
        f"{marks[row.state]} {number:2} {row.name:28} {row.found if row.state == 'done' else row.how}"
        for number, row in enumerate(rows, start=1)
    ]
    emit(told, as_json=as_json, text="\n".join(lines))
    if any(row.state != "done" for row in rows):
        raise typer.Exit(1)
