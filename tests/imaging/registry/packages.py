"""The three folders a registration rests on, as small as they can be."""

import json
from pathlib import Path

from imaging.config import InputConfig
from imaging.models.directory import ModelInfo, package_digest

GATES = [
    {
        "gate": "discrimination",
        "passed": True,
        "figure": 0.912345,
        "bound": 0.7,
        "reason": "lower bound above the floor",
    },
    {"gate": "split_overlap", "passed": True, "figure": 0, "bound": 0, "reason": "none"},
]

NOT_ASKED = {
    "gate": "subgroup_gap",
    "passed": False,
    "applies": False,
    "figure": None,
    "bound": 0.05,
    "reason": "not applicable to a picture",
}


def write_folders(
    root: Path,
    *,
    weights: bytes = b"weights",
    passed: bool = True,
    champion: str = "",
    name: str = "chest-xray",
    not_applicable: bool = False,
) -> tuple[Path, Path, Path]:
    """Return a package of the registered model `name`, an evaluation and a gates folder under `root`.

    `champion` is the digest compared with; `not_applicable` adds a gate that was not asked.
    """
    package, evaluation, gates = (root / name for name in ("package", "evaluation", "gates"))
    for folder in (package, evaluation, gates):
        folder.mkdir(parents=True)
    _write_package(package, name, weights)
    figure = {"value": 0.95, "low": 0.912345, "high": 0.97}
    compared = {"champion_digest": champion} if champion else None
    measured = {"n_images": 90, "overall": {"macro_auroc": figure}, "champion": compared}
    for folder in (package, evaluation):
        (folder / "evaluation.json").write_text(json.dumps(measured))
    (evaluation / "evaluation.html").write_text("<html></html>")
    (evaluation / "predictions.parquet").write_bytes(b"rows")
    results = [{**gate, "passed": passed} for gate in GATES]
    if not_applicable:
        results.append({**NOT_ASKED})
    report = {
        "results": results,
        "passed": passed,
        "table_digest": "sha256:t",
        "package_digest": package_digest(package),
    }
    (gates / "gates.json").write_text(json.dumps(report))
    (gates / "gates.html").write_text("<html></html>")
    return package, evaluation, gates


def _write_package(package: Path, name: str, weights: bytes) -> None:
    info = ModelInfo(
        name=name,
        recipe="tiny",
        architecture="mobilenet_v2",
        classes=("normal", "pneumonia", "covid"),
        input=InputConfig(size=32),
        packed_size=32,
        digests={"dataset": "sha256:" + "d" * 64},
    )
    (package / "model.json").write_text(info.model_dump_json())
    (package / "model.safetensors").write_bytes(weights)
    (package / "model_card.md").write_text("# Model card\n\nFor tests only.")
    (package / "curves.json").write_text(json.dumps({"epochs": [{"epoch": n, "val_loss": 1 / n} for n in (1, 2, 3)]}))
