"""Prints every committed result as Markdown, for benchmarks/README.md, or one; tests hold the READMEs to it.

Run: `.venv/bin/python benchmarks/results_table.py [NAME]`.
"""

import json
import sys
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
COLUMNS = ("what", "ours", "peer", "unit", "ratio", "target", "holds")
ANSWERS = {True: "yes", False: "no", None: ""}


def tables(name: str = "*") -> str:
    """Return a section for each result, in order of the names."""
    found = sorted(RESULTS.glob(f"{name}.json"))
    return "\n".join(_section(json.loads(path.read_text(encoding="utf-8"))) for path in found)


def _section(result: dict[str, Any]) -> str:
    machine = result["machine"]
    where = machine["gpu"] or f"{machine['cores']} cores of {machine['cpu']}, {machine['memory_gib']} GiB, no GPU"
    lines = [
        f"### {result['benchmark']}",
        f"{where}; {result['time'][:10]}, at {result['commit']}.",
        "",
        "| " + " | ".join(COLUMNS) + " |",
        "|" + "---|" * len(COLUMNS),
    ]
    return "\n".join([*lines, *(_line(row) for row in result["rows"])]) + "\n"


def _line(row: dict[str, Any]) -> str:
    figures = ("" if row[name] is None else str(row[name]) for name in ("ours", "peer", "unit", "ratio", "target"))
    return "| " + " | ".join([row["name"].replace("|", "/"), *figures, ANSWERS[row["holds"]]]) + " |"


if __name__ == "__main__":
    sys.stdout.write(tables(*sys.argv[1:2]))
