"""How the demo ends: the page, the figures a reader asks for first, and what to try next."""

import base64
import json
import os
import shutil
from pathlib import Path
from typing import Any

from thorax.console import say
from thorax.demo.material import Material
from thorax.demo.page import data_uri, write_page
from thorax.demo.telling import Telling

REPORTS = (
    (
        "ingest-images",
        "dataset",
        "ingest_report.html",
        "Ingest report",
        "what was read, and what was set aside and why",
    ),
    (
        "evaluate-model",
        "evaluation",
        "evaluation.html",
        "Evaluation",
        "every metric with its interval, and where it fails",
    ),
    ("check-gates", "gates", "gates.html", "Gates", "each figure, its bound, and why the gate exists"),
    ("package-model", "package", "model_card.md", "Model card", "intended use, data, limits, how to reproduce"),
)


def finish(telling: Telling, home: Path, material: Material, found: dict[str, Any]) -> dict[str, Any]:
    """Write the page, say where it is and what to try next; return what machines want to know."""
    evaluation = _evaluation(found["run"])
    place = home / "demo"
    page = place / "index.html"
    told: dict[str, Any] = {
        "told": material.told,
        "seconds": telling.seconds,
        "limits": _limits(evaluation),
        "answers": [_card(answer) for answer in found["answers"]],
        "auroc": auroc_rows(found["run"]),
        "chapters": telling.chapters,
        "links": _links(place, found),
        "steps": _steps(material, found),
    }
    write_page(page, told)
    for limit in told["limits"]:
        say(f"[yellow]note[/yellow]  {limit}")
    say(f"\n{telling.seconds:.0f} s in all. It stays up: [bold]{page}[/bold] shows what happened.")
    for step in told["steps"]:
        say(f"  {step['command']:<58} [dim]{step['what']}[/dim]")
    return {
        "page": str(page),
        "seconds": round(telling.seconds, 1),
        "version": found["run"].version,
        "challenger": found.get("challenger", ""),
        "drifted": found["drift"].drifted,
        "retrain": found["decision"].rule,
        "audit_events": found["audit_events"],
        "auroc": told["auroc"],
        "balanced_accuracy": evaluation["overall"]["balanced_accuracy"],
        "stages": [{"title": c.title, "seconds": round(c.seconds, 1), "outcome": c.outcome} for c in telling.chapters],
    }


def auroc_rows(run: Any) -> list[dict[str, Any]]:
    """Return AUROC by class, and macro, with its 95 % interval by patients."""
    evaluation = _evaluation(run)
    figures = {name: metrics["auroc"] for name, metrics in evaluation["per_class"].items()}
    return [
        {"name": name, **figure} for name, figure in {**figures, "macro": evaluation["overall"]["macro_auroc"]}.items()
    ]


def _evaluation(run: Any) -> dict[str, Any]:
    folder = run.artifact("evaluate-model", "evaluation")
    return json.loads((folder / "evaluation.json").read_text())


def _limits(evaluation: dict[str, Any]) -> list[str]:
    confounding = evaluation["source_confounding"]
    found = list(confounding["statements"]) if confounding["confounded"] or confounding["shortcut"] else []
    if evaluation["initial_weights"].startswith("random"):
        found.append("the network started from random weights, not from ones that had seen photographs before")
    return found


def _card(answer: Any) -> dict[str, Any]:
    if isinstance(answer, Exception):
        return {
            "picture": "",
            "headline": getattr(answer, "code", "refused"),
            "decision": "refer",
            "reasons": str(answer),
        }
    probability = answer.probabilities[answer.prediction]
    picture = answer.explanation.png_base64 if answer.explanation else ""
    return {
        "picture": data_uri(base64.b64decode(picture), "image/png") if picture else "",
        "headline": f"{answer.prediction} {probability:.0%}",
        "decision": answer.triage.decision,
        "reasons": ", ".join(answer.triage.reasons).replace("_", " "),
    }


def _links(place: Path, found: dict[str, Any]) -> list[dict[str, str]]:
    """Copy the reports beside the page, so that it can be sent as one folder; link what is live."""
    links = []
    for step, output, name, title, what in REPORTS:
        folder = found["run"].artifact(step, output)
        if folder is not None and (folder / name).is_file():
            shutil.copyfile(folder / name, place / name)
            links.append({"href": name, "name": title, "what": what})
    shutil.copyfile(found["drift"].html, place / "drift.html")
    links.append({"href": "drift.html", "name": "Drift", "what": "the new device's images against the reference"})
    version = found["run"].version
    address = f"{os.environ['THORAX_MLFLOW_URI']}/#/models/chest-xray/versions/{version}"
    links.append(
        {
            "href": address,
            "name": f"MLflow: version {version}",
            "what": "sign in as approver; password in credentials.json",
        }
    )
    return links


def _steps(material: Material, found: dict[str, Any]) -> list[dict[str, str]]:
    challenger = found.get("challenger")
    steps = [
        {
            "command": f"thorax predict {_short(material.first_ten[0])} --overlay overlay.png",
            "what": "ask the endpoint yourself",
        },
        {"command": "thorax models list", "what": "who stands where in the registry"},
        {"command": "thorax audit show", "what": "what happened, in order, and by whom"},
        {"command": "thorax down", "what": "stop every server; nothing is lost"},
    ]
    if challenger:
        command = f"thorax models approve {challenger} --as approver --wait"
        steps.insert(1, {"command": command, "what": "let the retrained model serve"})
    return steps


def _short(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def recent_lines(home: Path, run: str) -> list[str]:
    """Say how a retraining did beside the champion on recent patients; nothing where none were held back."""
    from pipelines.run_record import find_run

    folder = find_run(home, run).artifact("compare-on-recent", "comparison")
    if folder is None:
        return []
    told = json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))
    own, theirs = told["overall"]["macro_auroc"]["value"], told["champion"]["champion_macro_auroc"]["value"]
    if own is None or theirs is None:
        return []
    return [
        f"on {told['n_patients']} patients of the new device, held back: macro AUROC {own:.3f}, champion {theirs:.3f}"
    ]
