"""How good a model is, with intervals, and whether that is good enough.

Arrays in, figures out: `metrics`, `bootstrap`, `expected_calibration_error`, `calibration`, `operating_points`,
`subgroups`, `confounding`. `on_disk` applies them to a model directory; `gates` judges the result by
`pipelines/gates.yaml`. Training and registering are left to others.
"""

from imaging.evaluation.gate import GateReport, GateResult
from imaging.evaluation.gate_table import check_gates_on_disk
from imaging.evaluation.on_disk import Calibration, calibrate_on_disk, evaluate_external_on_disk, evaluate_on_disk
from imaging.evaluation.schema import Evaluation

__all__ = [
    "Calibration",
    "Evaluation",
    "GateReport",
    "GateResult",
    "calibrate_on_disk",
    "check_gates_on_disk",
    "evaluate_external_on_disk",
    "evaluate_on_disk",
]
