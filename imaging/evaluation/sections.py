"""The sections of an evaluation that look closer: one module each, measured and drawn in the order of this file."""

from typing import Any

from imaging.evaluation.decision_curve import measure_benefit
from imaging.evaluation.decision_curve_plot import draw_benefit
from imaging.evaluation.evaluate import Answers
from imaging.evaluation.explanation import measure_explanation
from imaging.evaluation.explanation_plot import draw_explanation
from imaging.evaluation.export import export_of
from imaging.evaluation.external import external_of
from imaging.evaluation.operating_rules import measure_rules
from imaging.evaluation.robustness import robustness_of
from imaging.evaluation.robustness_plot import draw_robustness
from imaging.evaluation.schema import Evaluation
from imaging.evaluation.shortcuts import shortcuts_of
from imaging.evaluation.shortcuts_plot import draw_shortcuts
from imaging.evaluation.subgroup_plot import draw_subgroups
from imaging.evaluation.subject import Subject
from imaging.evaluation.uncertainty import measure_uncertainty
from imaging.evaluation.uncertainty_plot import draw_risk_coverage


def measure_sections(subject: Subject, answers: Answers) -> dict[str, Any]:
    """Return the fields of `Evaluation` that are sections; one that does not apply to the subject is `None`."""
    return {
        "operating_rules": measure_rules(subject.info, answers),
        "decision_curve": measure_benefit(answers),
        "uncertainty": measure_uncertainty(subject, answers),
        "shortcuts": shortcuts_of(subject, answers),
        "robustness": robustness_of(subject, answers),
        "external": external_of(subject, answers),
        "export": export_of(subject, answers),
        "explanation": measure_explanation(subject, answers),
    }


def draw_sections(evaluation: Evaluation) -> dict[str, str]:
    """Draw each section's picture as SVG, by the name that its part of the report uses."""
    drawn: dict[str, str] = {}
    if (forest := draw_subgroups(evaluation)) is not None:
        drawn["subgroups"] = forest
    if evaluation.decision_curve is not None:
        drawn["decision_curve"] = draw_benefit(evaluation.decision_curve)
    if evaluation.shortcuts is not None and not evaluation.shortcuts.not_asked:
        drawn["shortcuts"] = draw_shortcuts(evaluation.shortcuts)
    if evaluation.robustness is not None:
        drawn["robustness"] = draw_robustness(evaluation.robustness)
    if evaluation.uncertainty is not None:
        drawn["risk_coverage"] = draw_risk_coverage(evaluation.uncertainty.risk_coverage, evaluation.uncertainty.triage)
    if evaluation.explanation is not None and evaluation.explanation.border_share.value is not None:
        drawn["explanation"] = draw_explanation(evaluation.explanation)
    return drawn
