"""The table of `bench_xray3.py`'s result in `imaging/evaluation/README.md`; a test holds the README to it."""

from pathlib import Path
from typing import Any

from imaging.atomic import write_text

README = Path(__file__).parents[1] / "imaging" / "evaluation" / "README.md"
BEGIN, END = "<!-- bench_xray3: begin -->", "<!-- bench_xray3: end -->"
RECIPES = (
    "mobilenetv2_xray3",
    "mobilenetv2_xray3+3",
    "resnet18_xray3",
    "resnet50_xray3",
)
COLUMNS = (
    "recipe",
    "macro AUROC",
    "balanced accuracy",
    "ECE before",
    "ECE after",
    "coverage, promise 0.90",
    "border alone: macro AUROC",
)


def table(result: dict[str, Any]) -> str:
    """Return Markdown: a line a recipe, and the machine."""
    by_recipe: dict[str, list[dict[str, Any]]] = {}
    for row in result["rows"]:
        by_recipe.setdefault(row["name"].partition(":")[0], []).append(row)
    named = [*RECIPES, *(name for name in by_recipe if name not in RECIPES)]
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    lines += [_line(name, by_recipe.get(name)) for name in named]
    machine = result["machine"]
    where = f"{machine['cores']} cores of {machine['cpu']}, {machine['memory_gib']} GiB; {result['time'][:10]}"
    earlier = {name: rows[0]["commit"] for name, rows in by_recipe.items() if "commit" in rows[0]}
    at = "; ".join([f"at {result['commit']}", *(f"{name} at {commit}" for name, commit in earlier.items())])
    return "\n".join([*lines, "", f"`make bench-xray3`, {where}, {at}."])


def paste(result: dict[str, Any]) -> None:
    """Write the table between the README's marks."""
    text = README.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    write_text(README, f"{before}{BEGIN}\n{table(result)}\n{END}{after}")


def _line(name: str, rows: list[dict[str, Any]] | None) -> str:
    if rows is None:
        return f"| {name} | not measured yet |" + " |" * (len(COLUMNS) - 2)
    auroc, balanced, error, coverage = rows
    cells = (
        _text(auroc["figure"]),
        _text(balanced["figure"]),
        _text(error["beside"]),
        _text(error["figure"]),
        _text(coverage["figure"]),
        _text(auroc["beside"]),
    )
    return f"| {name} | " + " | ".join(cells) + " |"


def _text(figure: dict[str, float | None]) -> str:
    if figure["value"] is None:
        return "none"
    if figure["low"] is None or figure["high"] is None:
        return f"{figure['value']:.3f}"
    return f"{figure['value']:.3f} ({figure['low']:.3f} to {figure['high']:.3f})"
