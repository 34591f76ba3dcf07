"""`thorax models export`: a model for a runtime without PyTorch."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from thorax.console import emit

Model = Annotated[Path, typer.Argument(help="A model directory, as training or packaging writes it.")]
Out = Annotated[Path, typer.Option(help="Folder for the ONNX file and the model's description.")]
Precision = Annotated[Literal["fp32", "fp16", "int8"], typer.Option(help="Of weights and activations.")]
DatasetVersion = Annotated[Path | None, typer.Option("--data", help="The dataset version, to make int8 anew.")]
SplitFile = Annotated[Path | None, typer.Option("--split", help="Its split, to make int8 anew.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


def export(
    model: Model,
    out: Out,
    precision: Precision = "fp32",
    data: DatasetVersion = None,
    split: SplitFile = None,
    as_json: Json = False,
) -> None:
    """Write a model as ONNX: normalised images in, logits out, float32 at both ends."""
    from imaging.models.manifest import file_digest
    from imaging.packaging.export import export_on_disk

    file = export_on_disk(model, out, precision, dataset=data, split=split)
    document = {"file": str(file), "precision": precision, "bytes": file.stat().st_size, "digest": file_digest(file)}
    text = f"{file}: {file.stat().st_size / 1e6:.1f} MB, {document['digest']}"
    emit(document, as_json=as_json, text=text)
