"""`thorax data phantom`: synthetic radiographs, for trying everything without a patient's image."""

from pathlib import Path
from typing import Annotated

import typer

from thorax.console import emit, progress


def phantom(
    out: Annotated[Path, typer.Argument(help="Folder to write: images/*.dcm and labels.csv.")],
    patients: Annotated[int, typer.Option(help="Synthetic patients, with 1 to 3 images each.")] = 300,
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 0,
    size: Annotated[int, typer.Option(help="Side of the images in pixels.")] = 512,
    site: Annotated[str, typer.Option(help="Whose devices: A, B, C or any other name.")] = "A",
    device_shift: Annotated[float, typer.Option(help="0: devices as they are; 1: as far off as they get.")] = 0.0,
    as_json: Annotated[bool, typer.Option("--json", help="Answer in JSON.")] = False,
) -> None:
    """Write synthetic chest radiographs as DICOM files with a label table."""
    from imaging.data.phantom import write_phantom

    with progress() as bar:
        task = bar.add_task("phantom patients", total=patients)
        write_phantom(
            out,
            patients=patients,
            seed=seed,
            size=size,
            site=site,
            device_shift=device_shift,
            on_progress=lambda done, _: bar.update(task, completed=done),
        )
    images = sum(1 for _ in (out / "images").glob("*.dcm"))
    result = {"out": str(out), "labels": str(out / "labels.csv"), "patients": patients, "images": images}
    emit(result, as_json=as_json, text=f"{images} images of {patients} synthetic patients in {out}")
