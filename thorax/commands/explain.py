"""`thorax explain`: what a network looks for."""

from pathlib import Path
from typing import Annotated

import typer

from thorax.console import emit, say

app = typer.Typer(help="Draw what a network looks for.", no_args_is_help=True)

Source = Annotated[str, typer.Argument(metavar="MODEL", help="A model directory, or an architecture such as alexnet.")]
ImageFile = Annotated[Path, typer.Argument(metavar="IMAGE", help="PNG, JPEG or DICOM.", exists=True, dir_okay=False)]
Out = Annotated[Path, typer.Option(help="The folder for the pictures.", file_okay=False)]
Weights = Annotated[
    Path | None,
    typer.Option(exists=True, help="File, or folder of files, for an architecture; default: THORAX_WEIGHTS."),
]
Download = Annotated[bool, typer.Option("--download", help="Let torchvision fetch an architecture's weights.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


@app.callback()
def _group() -> None:
    """Keep `filters` a command of its own name while it is alone."""


@app.command()
def filters(
    model: Source,
    image: ImageFile,
    out: Out,
    weights: Weights = None,
    download: Download = False,
    as_json: Json = False,
) -> None:
    """Draw the first layer's filters, and its feature maps of an image."""
    from imaging.explain.on_disk import explain_filters
    from imaging.settings import Settings

    settings = Settings()
    changes = {"weights": weights or settings.weights, "allow_download": download or settings.allow_download}
    drawn = explain_filters(model, image, out, settings=settings.model_copy(update=changes))
    if drawn.weights == "random":
        say(f"{drawn.architecture} has random weights: give --weights, or --download")
    number, channels, rows, columns = drawn.filters
    about = f"{drawn.architecture} ({drawn.weights}), layer {drawn.layer}"
    drawings = f"{number} filters {rows}x{columns}x{channels}, maps {drawn.maps[1]}x{drawn.maps[2]}"
    text = "\n".join([f"{about}: {drawings}", *map(str, drawn.files)])
    result = {
        "architecture": drawn.architecture,
        "weights": drawn.weights,
        "layer": drawn.layer,
        "filters": drawn.filters,
        "maps": drawn.maps,
        "files": [str(path) for path in drawn.files],
    }
    emit(result, as_json=as_json, text=text)
