"""The X-ray recipes evaluated in full on real radiographs: discrimination, calibration, coverage and shortcuts.

Run: `.venv/bin/python benchmarks/bench_xray3.py [RECIPE[+N]…] [--paste]`; images and weights from `THORAX_DATA`. `+3`
trains an ensemble of three. Each is trained, calibrated and evaluated as the pipeline does it, on the set's own split;
the figures are those of its `evaluation.json`. Rows that were not asked for stay as they were. `--paste` writes the
table into `imaging/evaluation/README.md`.

The set's classes come from different sources (`SOURCES.md` beside it): the probe of the border shows by how much the
class can be told without a lung, and no figure here says how a model would do in a hospital.
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from report import RESULTS, report
from rich.console import Console
from xray3_table import paste

from imaging.data.ingest import ingest
from imaging.data.splits import split_on_disk
from imaging.evaluation import calibrate_on_disk, evaluate_on_disk
from imaging.evaluation.figure import Figure
from imaging.evaluation.schema import Evaluation
from imaging.recipes import get_recipe
from imaging.settings import Settings
from imaging.training import train_on_disk

DATA = Path(os.environ.get("THORAX_DATA", "../shared/data"))
ASKED = ("mobilenetv2_xray3", "mobilenetv2_xray3+3")
SIZE = 224
progress = Console(stderr=True)
Row = dict[str, Any]


def main() -> None:
    """Measure what was asked for, print a table and write the result."""
    parser = argparse.ArgumentParser(description="Evaluate the X-ray recipes on real radiographs.")
    parser.add_argument("recipes", nargs="*", help="names; NAME+3 is an ensemble of three", default=ASKED)
    parser.add_argument("--paste", action="store_true", help="write the table into imaging/evaluation/README.md")
    asked = parser.parse_args()
    if not (DATA / "xray3").is_dir():
        progress.print(f"SKIPPED: no images at {DATA / 'xray3'} (set THORAX_DATA)")
        return
    with tempfile.TemporaryDirectory() as scratch:
        version, split = prepare(DATA / "xray3", Path(scratch))
        rows = [row for name in asked.recipes for row in measure(name, version, split, Path(scratch))]
    path = report("xray3", [*rows, *kept_rows(set(asked.recipes))])
    if asked.paste:
        paste(json.loads(path.read_text(encoding="utf-8")))


def prepare(source: Path, scratch: Path) -> tuple[Path, Path]:
    """Pack the images and take the set's own split; return both paths."""
    made = ingest(
        str(source),
        scratch / "datasets",
        labels=source / "manifest.csv",
        name="xray3",
        size=SIZE,
        pseudonym_key=b"benchmark",
    )
    split_on_disk(made.path, scratch / "split.json", keep_hints=True)
    return made.path, scratch / "split.json"


def measure(name: str, version: Path, split: Path, scratch: Path) -> list[Row]:
    """Train, calibrate and evaluate one recipe."""
    recipe, _, members = name.partition("+")
    config = get_recipe(recipe).replace(members=int(members or 1))
    folder = scratch / name
    settings = Settings(home=scratch / "home", weights=DATA / "weights")
    progress.print(f"{name}: training")
    started = time.perf_counter()
    train_on_disk(config, version, split, folder / "model", settings=settings)
    seconds = time.perf_counter() - started
    calibrate_on_disk(folder / "model", version, split, folder / "calibrated")
    progress.print(f"{name}: trained in {seconds:.0f} s; evaluating")
    found = evaluate_on_disk(folder / "calibrated", version, split, folder / "evaluation")
    return rows_of(name, found)


def rows_of(name: str, found: Evaluation) -> list[Row]:
    """Return the rows of one evaluation; what the table needs goes with each."""
    calibration, overall, uncertainty = found.calibration, found.overall, found.uncertainty
    if uncertainty is None or found.shortcuts is None:
        raise ValueError(f"the evaluation of {name} lacks a section")
    coverage = uncertainty.coverage
    border = next(probe for probe in found.shortcuts.probes if probe.name == "border")
    within = coverage.lowest <= (coverage.marginal.coverage.value or 0.0)
    start = ", from random weights" if found.initial_weights == "random" else ""
    where = f"{found.n_images} images of {found.n_patients} patients{start}"
    return [
        _row(name, "macro AUROC; peer: a probe of the border alone", overall.macro_auroc, border.macro_auroc, where),
        _row(name, "balanced accuracy", overall.balanced_accuracy, None, where),
        _row(
            name,
            f"debiased ECE by {calibration.method}; peer: before",
            calibration.debiased_after,
            calibration.debiased_before,
            where,
        ),
        {
            **_row(name, "coverage of the prediction sets", coverage.marginal.coverage, None, where),
            "target": coverage.level,
            "holds": within,
        },
    ]


def _row(name: str, what: str, ours: Figure, peer: Figure | None, where: str) -> Row:
    interval = "" if ours.low is None or ours.high is None else f" [{ours.low:.3f}, {ours.high:.3f}]"
    return {
        "name": f"{name}: {what}",
        "ours": None if ours.value is None else round(ours.value, 3),
        "peer": None if peer is None or peer.value is None else round(peer.value, 3),
        "unit": f"share{interval}; {where}",
        "ratio": None,
        "runs": 1,
        "target": None,
        "holds": None,
        "figure": ours.model_dump(),
        "beside": None if peer is None else peer.model_dump(),
    }


def kept_rows(measured: set[str]) -> list[Row]:
    """Return the rows of the last result that were not measured again, each with the commit that it was measured at."""
    path = RESULTS / "xray3.json"
    before = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"rows": [], "commit": ""}
    kept = [row for row in before["rows"] if row["name"].partition(":")[0] not in measured]
    return [{"commit": before["commit"], **row} for row in kept]


if __name__ == "__main__":
    main()
