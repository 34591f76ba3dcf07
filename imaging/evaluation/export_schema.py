"""What an evaluation says about the exports of the network."""

from typing import Literal

from imaging.config import Frozen
from imaging.evaluation.figure import MISSING, Figure


class ExportedFile(Frozen):
    """One precision against torch, on the same images."""

    precision: Literal["fp32", "fp16", "int8"]
    file: str
    sha256: str
    n_bytes: int
    n_images: int
    largest_difference: float | None
    """Between two probabilities, over images and classes."""
    same_class: float | None
    """Share of the images with the same most probable class."""
    accuracy_change: Figure = MISSING
    """The export's minus torch's, paired by patient."""
    macro_auroc_change: Figure = MISSING
    kept: bool
    """Whether it may go into the package."""


class Export(Frozen):
    """The ONNX files of the model directory."""

    opset: int
    exporter: str
    runtime: str
    files: tuple[ExportedFile, ...]

    def of(self, precision: str) -> ExportedFile | None:
        """Return the file of one precision, where there is one."""
        return next((one for one in self.files if one.precision == precision), None)
