"""Exports that answer like the network."""

from imaging.evaluation.export_schema import Export, ExportedFile
from imaging.evaluation.figure import Figure


def faithful_exports() -> Export:
    """Two files, both kept."""
    unchanged = Figure(value=0.0, low=0.0, high=0.0)
    files = [
        ExportedFile(
            precision=precision,
            file=file,
            sha256="sha256:x",
            n_bytes=1_000_000,
            n_images=100,
            largest_difference=difference,
            same_class=1.0,
            accuracy_change=unchanged,
            macro_auroc_change=unchanged,
            kept=True,
        )
        for precision, file, difference in (("fp32", "model.onnx", 1e-6), ("int8", "model.int8.onnx", 0.02))
    ]
    return Export(opset=20, exporter="torch 2", runtime="onnxruntime 1", files=tuple(files))
