"""What ingest kept and what it set aside, and why: `ingest_report.json` for machines, `.html` for people."""

import base64
import io
import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image

from imaging.atomic import write_text
from imaging.data.candidates import PROBLEMS, Candidate, Problem
from imaging.data.dataset import IMAGES
from imaging.data.selection import Selection

WARNINGS = {
    "window_missing": "The header has no window: the central 99 % of the grey values are shown",
    "window_ignored": "The header's window shows almost nothing: replaced by the central 99 %",
    "voi_lut_ignored": "The header's VOI table cannot be used",
    "polarity_conflict": "PhotometricInterpretation and PresentationLUTShape contradict each other",
    "polarity_suspect": "The mediastinum is darker than both lungs: perhaps a negative",
    "low_resolution": "The shorter side has fewer than 256 pixels",
    "body_part_unknown": "The header does not say that this is a chest",
    "view_unrecognised": "The header's view position is no known one",
    "colour_marks": "A grey picture with coloured marks",
    "patient_unknown": "Nobody says whose image it is: it counts as its own patient, which a split cannot protect",
}
SHOWN_PER_CLASS = 8
SHOWN_SIDE = 112


def write_report(folder: Path, selection: Selection, problems: list[Problem], *, digest: str) -> None:
    """Write both reports beside the dataset in `folder`. Images are named by row and file digest only."""
    labels = [str(candidate.columns["label"]) for candidate in selection.kept]
    report: dict[str, Any] = {
        "digest": digest,
        "given": len(selection.kept) + len(problems),
        "kept": len(selection.kept),
        "patients_merged": selection.patients_merged,
        "problems": {kind: _problem(kind, problems) for kind in PROBLEMS},
        "warnings": _warnings(selection.kept),
        "classes": {label: _class(label, selection.kept) for label in sorted(set(labels))},
    }
    write_text(folder / "ingest_report.json", json.dumps(report, indent=1) + "\n")
    templates = FileSystemLoader(Path(__file__).parent / "templates")
    environment = Environment(loader=templates, autoescape=True, undefined=StrictUndefined)
    page = environment.get_template("ingest_report.html").render(report=report, pictures=_pictures(folder, labels))
    write_text(folder / "ingest_report.html", page)


def _problem(kind: str, problems: list[Problem]) -> dict[str, Any]:
    images = [_listed(problem) for problem in problems if problem.kind == kind]
    return {"meaning": PROBLEMS[kind], "count": len(images), "images": images}


def _warnings(kept: list[Candidate]) -> dict[str, Any]:
    codes = sorted({code for candidate in kept for code in candidate.warnings})
    rows = {code: [candidate.row for candidate in kept if code in candidate.warnings] for code in codes}
    return {code: {"meaning": WARNINGS.get(code, code), "count": len(rows[code]), "rows": rows[code]} for code in codes}


def _class(label: str, kept: list[Candidate]) -> dict[str, Any]:
    members = [candidate.columns for candidate in kept if candidate.columns["label"] == label]
    return {
        "images": len(members),
        "patients": len({columns["patient"] for columns in members}),
        "sources": dict(Counter(str(columns["source"]) for columns in members)),
    }


def _listed(problem: Problem) -> dict[str, Any]:
    return {key: value for key, value in asdict(problem).items() if key != "kind"}


def _pictures(folder: Path, labels: list[str]) -> dict[str, list[str]]:
    """Return a few images of each class, evenly spread, as PNG in base64."""
    images = np.load(folder / IMAGES, mmap_mode="r", allow_pickle=False)
    pictures: dict[str, list[str]] = {}
    for label in sorted(set(labels)):
        places = [place for place, of in enumerate(labels) if of == label]
        chosen = places[:: max(1, -(-len(places) // SHOWN_PER_CLASS))]
        pictures[label] = [_png(np.asarray(images[place])) for place in chosen]
    return pictures


def _png(image: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray(image).resize((SHOWN_SIDE, SHOWN_SIDE), Image.Resampling.BILINEAR).save(
        file, "PNG", compress_level=1
    )
    return base64.b64encode(file.getvalue()).decode()
