"""What a model directory says of the model: read from its description and its evaluation."""

import json
from pathlib import Path

from imaging.errors import ModelPackageError
from imaging.evaluation.figure import Figure
from monitoring.truth.performance import Known

FIGURES = ("sensitivity", "specificity", "auroc")


def load_known(package: Path) -> Known:
    """Read a model directory.

    Raises:
        ModelPackageError: it has no readable description.
    """
    try:
        described = json.loads((package / "model.json").read_text(encoding="utf-8"))
        classes = tuple(map(str, described["classes"]))
        points = {classes.index(name): float(value) for name, value in described.get("operating_points", {}).items()}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelPackageError(f"the model directory {package.name} has no readable model.json") from error
    try:
        evaluated = json.loads((package / "evaluation.json").read_text(encoding="utf-8"))["per_class"]
        released = {
            name: {figure: Figure.model_validate(evaluated[name][figure]) for figure in FIGURES} for name in classes
        }
    except (OSError, ValueError, KeyError, TypeError):
        released = {}  # an older package: nothing to compare with, and nothing is bet against
    critical = tuple(map(str, described.get("critical_classes", ())))
    return Known(classes=classes, critical=critical, thresholds=points, released=released)
