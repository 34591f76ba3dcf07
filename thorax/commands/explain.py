"""`thorax explain`: what a network looks for, and where it found the evidence for an answer."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from thorax.console import emit, say

app = typer.Typer(help="Draw what a network looks for, and why it answered so.", no_args_is_help=True)

Source = Annotated[str, typer.Argument(metavar="MODEL", help="A model directory, or an architecture such as alexnet.")]
ImageFile = Annotated[Path, typer.Argument(metavar="IMAGE", help="PNG, JPEG or DICOM.", exists=True, dir_okay=False)]
Out = Annotated[Path, typer.Option(help="The folder for the pictures.", file_okay=False)]
Weights = Annotated[
    Path | None,
    typer.Option(exists=True, help="File, or folder of files, for an architecture; default: THORAX_WEIGHTS."),
]
Download = Annotated[bool, typer.Option("--download", help="Let torchvision fetch an architecture's weights.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
Directory = Annotated[Path, typer.Argument(metavar="MODEL", help="A model directory.", exists=True, file_okay=False)]
Picture = Annotated[Path, typer.Option(help="The PNG to write.", dir_okay=False)]
Method = Literal["grad-cam", "grad-cam++", "integrated-gradients", "occlusion"]
OfClass = Annotated[str, typer.Option("--class", help="The class to explain; default: the most probable one.")]


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


@app.command(name="map")
def heat_map(
    model: Directory,
    image: ImageFile,
    out: Picture,
    method: Annotated[Method, typer.Option(help="How the evidence is found.")] = "grad-cam",
    of_class: OfClass = "",
    as_json: Json = False,
) -> None:
    """Draw where in an image the evidence for a class lies."""
    from imaging.explain.map_on_disk import explain_map

    drawn = explain_map(model, image, out, method=method, of_class=of_class)
    said = ", ".join(f"{name} {value:.0%}" for name, value in drawn.probabilities.items())
    result = {
        "architecture": drawn.architecture,
        "method": drawn.method,
        "class": drawn.explained,
        "prediction": drawn.prediction,
        "probabilities": drawn.probabilities,
        "file": str(drawn.file),
    }
    emit(
        result, as_json=as_json, text=f"{drawn.architecture} says {said}; {method} for {drawn.explained}\n{drawn.file}"
    )
