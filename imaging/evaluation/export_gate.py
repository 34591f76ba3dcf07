"""The gate on the export: what runs without torch answers as the judged network does."""

from pathlib import Path

from imaging.evaluation.gate import Evidence, GateRow, Verdict, is_missing, missing
from imaging.evaluation.schema import Evaluation
from imaging.models.manifest import file_digest
from imaging.models.onnx_files import FILES

LEAST_IMAGES = 100
"""Or all of a smaller test part."""


def check_export_parity(evidence: Evidence, row: GateRow) -> Verdict:
    """Largest difference between two probabilities, of `model.onnx` and of the network, on 100 images."""
    found = evidence.evaluation.export
    exact = found and found.of("fp32")
    if not found or not exact:
        return missing(row, "an ONNX export")
    if exact.largest_difference is None or is_missing(exact.largest_difference):
        return missing(row, f"the difference between {exact.file} and the network")
    asked = min(LEAST_IMAGES, evidence.evaluation.n_images)
    if exact.n_images < asked:
        return missing(row, f"{asked} images; the export was asked {exact.n_images}")
    reason = (
        f"{exact.largest_difference:.1e} is the largest difference of a probability on {exact.n_images} images "
        f"(opset {found.opset}, {found.runtime})"
    )
    passed = exact.largest_difference <= row.bound
    return Verdict(passed=passed, figure=exact.largest_difference, bound=row.bound, reason=reason)


def export_problems(package: Path, evaluation: Evaluation) -> list[str]:
    """Return one sentence for each export in the package that is not the one measured, or was found worse.

    The package gate asks; it demands `model.onnx` by itself. The other precisions may be there or not.
    """
    measured = {one.file: one for one in evaluation.export.files} if evaluation.export else {}
    problems = []
    for file in FILES.values():
        if not (package / file).is_file():
            continue
        row = measured.get(file)
        if row is None or row.sha256 != file_digest(package / file):
            problems.append(f"{file} is not the one that was measured")
        elif not row.kept:
            problems.append(f"{file} answers worse than the network, and is in the package")
    return problems
