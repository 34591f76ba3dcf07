"""What a drift check leaves behind: drift.json for machines, drift.html for people, and Evidently's report."""

import json
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any

from imaging.atomic import write_text
from monitoring.change_control import DriftTrigger
from monitoring.drift.drawing import histograms
from monitoring.drift.evidently_report import write_evidently
from monitoring.drift.findings import STATES, DriftResult, Figure, Part

SCHEMA_VERSION = 2


def verdict(result: DriftResult, trigger: DriftTrigger) -> str:
    """Say the outcome in a sentence."""
    if not result.enough:
        return (
            f"Too little to judge: {result.rows} different images against a reference of {result.reference_rows}; "
            f"the plan asks for {trigger.minimum_sample} and {trigger.minimum_reference}."
        )
    if result.drifted:
        names = [name for name in result.above if result.scores[name] > result.noise[name]]
        return f"Drift: {', '.join(names)} above the bound of {trigger.bound} and above sampling noise."
    if result.shifted:
        return f"A shift, below the bound of {trigger.bound} for drift but beyond chance: {', '.join(result.shifted)}."
    if result.above:
        return f"No drift shown: {', '.join(result.above)} above the bound, but within sampling noise."
    return f"No drift: every watched figure is below the bound of {trigger.bound}."


def write_report(
    result: DriftResult, trigger: DriftTrigger, folder: Path, *, since: str, model_digest: str | None
) -> None:
    """Write the report's files to `folder`."""
    from jinja2 import Environment

    whole = result.parts[0] if result.parts else None
    document: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "since": since,
        "model_digest": model_digest,
        "verdict": verdict(result, trigger),
        "drifted": result.drifted,
        "shifted": list(result.shifted),
        "enough": result.enough,
        "rows": result.rows,
        "reference_rows": result.reference_rows,
        "refused": result.refused,
        "bound": trigger.bound,
        "noise_level": trigger.noise_level,
        "score": whole.score if whole else None,
        "score_noise": whole.score_noise if whole else None,
        "p_value": whole.p_value if whole else None,
        "embedding_p_value": result.embedding_p_value,
        "not_known": list(result.not_known),
        "figures": _figures(whole, enough=result.enough) if whole else [],
        "parts": [_part(part, enough=result.enough) for part in result.parts[1:]],
    }
    write_text(folder / "drift.json", json.dumps(document, indent=1) + "\n")
    if whole:
        write_evidently(whole.figures, folder)
    template = resources.files("monitoring").joinpath("drift", "drift.html").read_text()
    drawn = histograms([(part.label, part.figures) for part in result.parts if part is whole or part.shifted])
    most = max((one["psi"] for one in document["figures"]), default=1)
    page = Environment(autoescape=True).from_string(template).render(document, most=most, drawn=drawn)
    write_text(folder / "drift.html", page)


def _part(part: Part, *, enough: bool) -> dict[str, Any]:
    return {
        "column": part.column,
        "value": part.value,
        "rows": part.rows,
        "reference_rows": part.reference_rows,
        "against": part.against,
        "score": part.score,
        "score_noise": part.score_noise,
        "p_value": part.p_value,
        "shifted": part.shifted and enough,
        "figures": _figures(part, enough=enough),
    }


def _figures(part: Part, *, enough: bool) -> list[dict[str, Any]]:
    return [_figure(one, enough=enough) for one in sorted(part.figures, key=lambda one: -one.psi)]


def _figure(one: Figure, *, enough: bool) -> dict[str, Any]:
    few = not enough and one.state in ("drifted", "shifted")
    return {
        "name": one.name,
        "family": one.family,
        "watched": one.watched,
        "psi": one.psi,
        "noise": one.noise,
        "kl": one.kl,
        "jensen_shannon": one.jensen_shannon,
        "wasserstein": one.wasserstein,
        "test": one.test,
        "p_value": one.p_value,
        "p_adjusted": one.p_adjusted,
        "state": "beyond the noise, but too few images to judge" if few else STATES[one.state],
        "bins": list(one.bins),
        "reference": one.reference.tolist(),
        "current": one.current.tolist(),
    }
