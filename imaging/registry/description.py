"""A version's description: what an approver has to see: the gates, the champion beside it, where the rest is."""

from typing import Any

from imaging.registry.recording import Evidence

LONGEST = 5000
"""Characters; MLflow's column holds no more on PostgreSQL."""


def describe(evidence: Evidence, *, run: str = "") -> str:
    """Return the Markdown that MLflow shows on the version's page.

    Args:
        evidence: What the registration rests on.
        run: The source run in MLflow's UI, as `experiments/<id>/runs/<id>`.
    """
    rows = [_row(result) for result in evidence.gates]
    table = "\n".join(["## Gates", "", "| gate | answer | figure | bound |", "|---|---|---|---|", *rows])
    told = [_beside_champion(evidence.evaluation, "the same test patients", "Beside the champion")]
    recent = evidence.recent
    if recent is not None:
        where = f"{recent['n_patients']} recent patients, on whom neither was trained,"
        told.append(_beside_champion(recent, where, "On recent images"))
    parts = [table, *told, *([_to_decide(run)] if run else []), evidence.model_card]
    text = "\n\n".join(parts).strip()
    if len(text) <= LONGEST:
        return text
    more = "\n\n… the whole card is `model/model_card.md` of the source run."
    return text[: LONGEST - len(more)].rstrip() + more


def _beside_champion(evaluation: dict[str, Any], patients: str, heading: str) -> str:
    """Say how it does beside the champion on the same patients."""
    compared = evaluation.get("champion") or {}
    delta, theirs = compared.get("delta_macro_auroc") or {}, compared.get("champion_macro_auroc") or {}
    own = (evaluation.get("overall") or {}).get("macro_auroc") or {}
    figures = (own.get("value"), theirs.get("value"), delta.get("value"), delta.get("low"), delta.get("high"))
    title = f"## {heading}\n\n"
    if any(figure is None for figure in figures):
        return f"{title}No comparison: {compared.get('problem') or 'no version was champion when it was evaluated'}."
    mine, champion, difference, low, high = figures
    return (
        f"{title}On {patients} its macro AUROC is {mine:.3f} and the champion's {champion:.3f}: "
        f"{difference:+.3f} (95 % interval {low:+.3f} to {high:+.3f})."
    )


def _to_decide(run: str) -> str:
    return (
        f"## To decide\n\nThe evaluation with its pictures, the gates' report and the whole model card are the "
        f"[artifacts of the source run](#/{run}/artifacts). Write what the approval means into the tag "
        "`approval.meaning`, then give this version the alias `champion`. Its author cannot."
    )


def _row(result: dict[str, Any]) -> str:
    cells = [
        result.get("gate", ""),
        "passed" if result.get("passed") else "FAILED" if result.get("applies", True) else "not applicable",
        _short(result.get("figure")),
        _short(result.get("bound")),
    ]
    return "| " + " | ".join(str(cell).replace("|", "/").replace("\n", " ") for cell in cells) + " |"


def _short(value: Any) -> str:
    """Return four significant digits of a number; anything else as it is."""
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
