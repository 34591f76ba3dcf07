"""The sections of an evaluation that look closer: one module each, measured and drawn in the order of this file."""

from typing import Any

from imaging.evaluation.evaluate import Answers
from imaging.evaluation.external import external_of
from imaging.evaluation.robustness import robustness_of
from imaging.evaluation.robustness_plot import draw_robustness
from imaging.evaluation.schema import Evaluation
from imaging.evaluation.subject import Subject


def measure_sections(subject: Subject, answers: Answers) -> dict[str, Any]:
    """Return the fields of `Evaluation` that are sections; one that does not apply to the subject is `None`."""
    return {
        "robustness": robustness_of(subject, answers),
        "external": external_of(subject, answers),
    }


def draw_sections(evaluation: Evaluation) -> dict[str, str]:
    """Draw each section's picture as SVG, by the name that its part of the report uses."""
    drawn: dict[str, str] = {}
    if evaluation.robustness is not None:
        drawn["robustness"] = draw_robustness(evaluation.robustness)
    return drawn
