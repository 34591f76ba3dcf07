"""What a model directory says of the model: read from its description and its evaluation."""

import json
from pathlib import Path
from typing import Any

from imaging.errors import ModelPackageError
from imaging.evaluation.figure import Figure
from monitoring.truth.performance import Known, share

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
        evaluation = json.loads((package / "evaluation.json").read_text(encoding="utf-8"))
        released = {name: _released(evaluation["per_class"][name], int(evaluation["n_images"])) for name in classes}
    except (OSError, ValueError, KeyError, TypeError):
        released = {}  # an older package: nothing to compare with, and nothing is bet against
    critical = tuple(map(str, described.get("critical_classes", ())))
    return Known(classes=classes, critical=critical, thresholds=points, released=released)


def _released(measured: dict[str, Any], images: int) -> dict[str, Figure]:
    """Return a class's figures with an interval that a test part without an error does not leave at a point.

    A bootstrap of answers that were all right knows no error; Wilson's interval of as many images does.
    """
    positives = int(measured["n_images"])
    found = {figure: Figure.model_validate(measured[figure]) for figure in FIGURES}
    for figure, count in (("sensitivity", positives), ("specificity", images - positives)):
        value = found[figure].value
        if value is not None and count:
            wilson = share(round(value * count), count)
            lows = [low for low in (found[figure].low, wilson.low) if low is not None]
            found[figure] = found[figure].model_copy(update={"low": min(lows)})
    return found
