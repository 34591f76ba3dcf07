"""What drift finds at which size of window, as a table of monitoring/README.md; a test holds the README to the result.

Run: `.venv/bin/python benchmarks/drift_table.py` prints it.
"""

import json
import sys
from pathlib import Path
from typing import Any

from imaging.atomic import write_text

RESULT = Path(__file__).parent / "results" / "drift.json"
README = Path(__file__).parents[1] / "monitoring" / "README.md"
BEGIN, END = "<!-- drift: begin -->", "<!-- drift: end -->"
WINDOWS = ", windows of "


def table(result: dict[str, Any]) -> str:
    """Return a row a shift, a column a size: % of windows beyond chance, and in brackets beyond the bound too."""
    rows = [row for row in result["rows"] if WINDOWS in row["name"]]
    sizes = list(dict.fromkeys(row["name"].split(WINDOWS)[1] for row in rows))
    names = list(dict.fromkeys(row["name"].split(WINDOWS)[0] for row in rows))
    told = {row["name"]: row for row in rows}
    lines = [f"| % of windows | {' | '.join(sizes)} images |", "|" + "---|" * (len(sizes) + 1)]
    for name in names:
        cells = [_cell(told[f"{name}{WINDOWS}{size}"]) for size in sizes]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(row: dict[str, Any]) -> str:
    return f"{row['ours']:g}" if row["peer"] is None else f"{row['ours']:.0f} ({row['peer']:.0f})"


def paste(result: dict[str, Any]) -> None:
    """Write the table into the README, between its marks."""
    text = README.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    write_text(README, f"{before}{BEGIN}\n{table(result)}{END}{after}")


if __name__ == "__main__":
    sys.stdout.write(table(json.loads(RESULT.read_text(encoding="utf-8"))))
