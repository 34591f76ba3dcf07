"""`evaluation.html` and `gates.html`: one file each, nothing fetched, for readers who did not train the model."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imaging.evaluation.schema import Evaluation, Figure

if TYPE_CHECKING:
    from imaging.evaluation.cross_validation import CrossValidation
    from imaging.evaluation.gate import GateReport

WHY = {
    "ambiguous_set": "more than one class is possible",
    "low_confidence": "not sure enough",
    "out_of_distribution": "unlike the training images",
    "image_quality": "poor image",
    "view_unknown": "not known to be frontal",
}
"""Reasons of triage, in words."""
TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One picture of the Grad-CAM sheet; `overlay` is a PNG."""

    overlay: bytes
    plain: bytes
    truth: str
    prediction: str
    probability: float
    decision: str
    reasons: tuple[str, ...] = ()
    """Of triage, where it refers."""


def figure_text(figure: Figure | None, digits: int = 3) -> str:
    """Write a figure as `0.931 (0.902-0.955)`; a dash where it is missing."""
    if figure is None or figure.value is None:
        return "–"
    if figure.low is None or figure.high is None:
        return f"{figure.value:.{digits}f} (no interval)"
    return f"{figure.value:.{digits}f} ({figure.low:.{digits}f}–{figure.high:.{digits}f})"


def data_uri(data: bytes, media_type: str) -> str:
    """Return `data` as a URI that needs no second file."""
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


def sentence(text: str) -> str:
    """Start with a capital and end with a full stop, leaving the rest as it is."""
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")


def render_evaluation(
    evaluation: Evaluation,
    *,
    drawings: Mapping[str, str],
    right: Sequence[Case],
    wrong: Sequence[Case],
    referred: Sequence[Case] = (),
) -> str:
    """Render the report.

    Args:
        evaluation: The figures.
        drawings: SVG texts: `roc`, `reliability`, `confusion`.
        right: Cases answered correctly.
        wrong: Cases answered wrongly; empty when there is none.
        referred: Other cases, which triage sends to a radiologist.
    """
    uris = {name: data_uri(svg.encode(), "image/svg+xml") for name, svg in drawings.items()}
    named = (("Right", right), ("Wrong", wrong), ("Referred to a person", referred))
    sheets = [(title, [_picture(case) for case in cases]) for title, cases in named]
    return _render("evaluation.html.j2", evaluation=evaluation, drawings=uris, sheets=sheets)


def render_gates(report: "GateReport") -> str:
    """Render the table of gates."""
    return _render("gates.html.j2", report=report)


def render_cross_validation(summary: "CrossValidation", *, picture: bytes) -> str:
    """Render the summary of k folds; `picture` is a PNG."""
    return _render("cross_validation.html.j2", summary=summary, picture=data_uri(picture, "image/png"))


def _picture(case: Case) -> dict[str, Any]:
    return {
        "overlay": data_uri(case.overlay, "image/png"),
        "plain": data_uri(case.plain, "image/png"),
        "truth": case.truth,
        "prediction": case.prediction,
        "probability": case.probability,
        "decision": case.decision,
        "reasons": [WHY.get(reason, reason.replace("_", " ")) for reason in case.reasons],
    }


def _render(template: str, **values: Any) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"figure": figure_text, "sentence": sentence}
    return environment.get_template(template).render(values)
