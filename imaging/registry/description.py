"""A version's description: the gates as a Markdown table, then the model card."""

from typing import Any

from imaging.registry.recording import Evidence

LONGEST = 5000
"""Characters; MLflow's column holds no more on PostgreSQL."""


def describe(evidence: Evidence) -> str:
    """Return the Markdown that MLflow shows on the version's page."""
    rows = [_row(result) for result in evidence.gates]
    table = "\n".join(["## Gates", "", "| gate | answer | figure | bound |", "|---|---|---|---|", *rows])
    text = f"{table}\n\n{evidence.model_card}".strip()
    if len(text) <= LONGEST:
        return text
    more = "\n\n… the whole card is `model/model_card.md` of the source run."
    return text[: LONGEST - len(more)].rstrip() + more


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
