"""ONNX Runtime on the processor: the package's own export, which its gate measured against torch."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor

from imaging.errors import ModelPackageError
from imaging.models.layers import Tail
from imaging.models.onnx_export import FEATURES, INPUT, OUTPUT
from imaging.models.onnx_files import FILES, Precision
from imaging.models.onnx_session import load_session
from imaging.models.runtimes.interface import Passed

if TYPE_CHECKING:
    from onnxruntime import InferenceSession


@dataclass(frozen=True, kw_only=True, slots=True)
class Onnx:
    """An exported file up to its features and logits; what doubt and explanation need beyond is torch's."""

    session: "InferenceSession"
    tail: Tail
    name: str

    @classmethod
    def load(cls, directory: Path, precision: Precision, tail: Tail, *, threads: int) -> Self:
        """Load the export of a model directory.

        Args:
            directory: The model directory.
            precision: Which of its exports.
            tail: Of the same network.
            threads: That one pass may use.

        Raises:
            ModelPackageError: there is no such export, it cannot be run, or it is of an earlier release, which
                gives logits alone.
        """
        path = directory / FILES[precision]
        if not path.is_file():
            raise ModelPackageError(f"the package holds no {path.name}")
        session = load_session(path, threads)
        if FEATURES not in {one.name for one in session.get_outputs()}:
            raise ModelPackageError(f"{path.name} is of an earlier release: it gives logits and no features")
        return cls(session=session, tail=tail, name=f"onnxruntime-{precision}")

    @torch.no_grad()
    def run(self, inputs: Tensor) -> Passed:
        """Pass normalised inputs (N, C, S, S) float32 through the network."""
        found = self.session.run([OUTPUT, FEATURES], {INPUT: inputs.contiguous().numpy()})
        logits, features = (torch.from_numpy(one) for one in found)
        return Passed(features=features, last=self.tail.last(features), logits=logits)
