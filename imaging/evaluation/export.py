"""Whether the exports answer like the network: the same test images, asked again through ONNX Runtime.

fp32 has to agree number by number. What is rounded, fp16 and int8, may differ in the probabilities; it stays in the
package only where it is not worse by a margin, as one asks of a challenger (non-inferiority, paired by patient).
"""

from pathlib import Path

import numpy as np

from imaging.evaluation.bootstrap import intervals
from imaging.evaluation.evaluate import Answers
from imaging.evaluation.export_schema import Export, ExportedFile
from imaging.evaluation.figure import Figure
from imaging.evaluation.metrics import Array, accuracy, auroc_per_class
from imaging.evaluation.sampling import sample_evenly
from imaging.evaluation.subject import Subject
from imaging.models.manifest import file_digest
from imaging.models.onnx_export import OPSET
from imaging.models.onnx_files import FILES, Precision
from imaging.models.onnx_session import load_session, session_logits

IMAGES: dict[Precision, int] = {"fp32": 100, "fp16": 40, "int8": 100}
"""Asked at most; a processor that has no half precision converts to and fro, so fp16 takes twice as long."""
LARGEST_DIFFERENCE = 1e-4
MOST_LOST = {"accuracy": 0.05, "macro_auroc": 0.02}
"""A rounded export is kept where the lower 95 % bound of each change is above minus this."""


def export_of(subject: Subject, answers: Answers) -> Export | None:
    """Measure the ONNX files that lie beside the model; nothing for a model of an earlier release.

    The files are the model's own, whatever the images: an external set is not asked again.
    """
    import onnxruntime
    import torch

    found: list[tuple[Precision, Path]] = [(name, subject.directory / file) for name, file in FILES.items()]
    files = [(name, path) for name, path in found if path.is_file()]
    if subject.test_part == "external" or not files:
        return None
    return Export(
        opset=OPSET,
        exporter=f"torch {torch.__version__}",
        runtime=f"onnxruntime {onnxruntime.__version__}",
        files=tuple(measure_file(path, name, subject, answers) for name, path in files),
    )


def measure_file(path: Path, precision: Precision, subject: Subject, answers: Answers) -> ExportedFile:
    """Ask one export the sample, and compare it with what the network answered."""
    chosen = sample_evenly(np.arange(len(answers.labels)), answers.labels, IMAGES[precision], seed=answers.seed)
    images = np.asarray(subject.images[subject.test[chosen]])
    logits = session_logits(load_session(path), images, subject.info.input)
    measured = {}
    difference = same = None
    kept = False
    if np.isfinite(logits).all():
        theirs, ours = subject.info.calibrated(logits), answers.probabilities[chosen]
        difference = float(np.abs(theirs - ours).max())
        same = float((theirs.argmax(axis=1) == ours.argmax(axis=1)).mean())
        measured = compare(theirs, ours, answers, chosen)
        kept = difference <= LARGEST_DIFFERENCE if precision == "fp32" else is_as_good(measured)
    return ExportedFile(
        precision=precision,
        file=path.name,
        sha256=file_digest(path),
        n_bytes=path.stat().st_size,
        n_images=len(chosen),
        largest_difference=difference,
        same_class=same,
        kept=kept,
        **{f"{name}_change": figure for name, figure in measured.items()},
    )


def compare(theirs: Array, ours: Array, answers: Answers, chosen: np.ndarray) -> dict[str, Figure]:
    """Return the change of accuracy and macro AUROC from `ours` to `theirs`, with paired intervals over patients."""
    labels = answers.labels[chosen]

    def statistic(weights: Array) -> dict[str, Array]:
        before, after = (auroc_per_class(each, labels, weights).mean(axis=1) for each in (ours, theirs))
        right = accuracy(theirs, labels, weights) - accuracy(ours, labels, weights)
        return {"accuracy": right, "macro_auroc": after - before}

    return intervals(statistic, answers.patients[chosen], resamples=answers.resamples, seed=answers.seed)


def is_as_good(measured: dict[str, Figure]) -> bool:
    """Say whether no figure falls by the margin; one that could not be computed is no proof."""
    return all((low := measured[name].low) is not None and low >= -margin for name, margin in MOST_LOST.items())
