"""The demo's stages, in order, each the same call that its own command makes."""

import os
from pathlib import Path
from typing import Any

from imaging.errors import GateFailureError, ServiceError
from thorax.console import say
from thorax.demo.material import Material, phantom_material, real_material
from thorax.demo.telling import Telling


def tell(home: Path, data: Path | None) -> dict[str, Any]:
    """Run the whole loop in `home`, on `data` or on the phantom; return what came of it.

    Raises:
        ThoraxError: when a stage fails; what ran before it stays, and the next run goes on from there.
    """
    place = (home / "demo").resolve()
    place.mkdir(parents=True, exist_ok=True)
    telling = Telling()
    found: dict[str, Any] = {}
    start_stack(telling, home, found)
    material = prepare(telling, place, data)
    train(telling, home, material, found)
    approve(telling, home, found)
    ask(telling, place, material, found)
    watch(telling, home, place, material, found)
    retrain(telling, home, material, found)
    check_record(telling, home, found)
    return finish(telling, place, material, found)


def start_stack(telling: Telling, home: Path, found: dict[str, Any]) -> None:
    """Start the servers, or find them running; act as the trainer from here on."""
    from thorax import stack
    from thorax.stack.environment import apply

    with telling.chapter("up") as chapter:
        stack.up(home, on_event=telling.note)
        apply(home, "trainer")
        found["mlflow"] = os.environ["THORAX_MLFLOW_URI"]
        chapter.outcome = f"MLflow {found['mlflow']} · TorchServe {os.environ['THORAX_SERVING_URL']}"


def prepare(telling: Telling, place: Path, data: Path | None) -> Material:
    """Draw the phantom or look through the real folder."""
    with telling.chapter("data") as chapter:
        material = real_material(place, data, telling.note) if data else phantom_material(place, telling.note)
        chapter.outcome = material.told
    return material


def run_pipeline(telling: Telling, home: Path, arguments: dict[str, Any]) -> Any:
    """Run `train-classifier` and show each step as it goes."""
    from pipelines.runner import run_local

    def on_step(step: Any) -> None:
        telling.note(f"train-classifier: {step.name} {step.state}")

    result = run_local("train-classifier", arguments, home=home, on_step=on_step)
    if not result.passed:
        failed = next((step for step in result.steps if step.error), None)
        error = failed.error if failed else "see the run's logs"
        kind = GateFailureError if failed and "gate" in failed.name else ServiceError
        raise kind(f"train-classifier stopped at {failed.name if failed else 'an unknown step'}: {error}")
    return result


def train(telling: Telling, home: Path, material: Material, found: dict[str, Any]) -> None:
    """Ingest, split, train, calibrate, evaluate, package, gate, register."""
    with telling.chapter("pipeline") as chapter:
        result = run_pipeline(telling, home, pipeline_arguments(material, trigger="manual"))
        found["run"] = result
        chapter.outcome = "train-classifier: " + ", ".join(
            f"{step.name} {'reused' if step.cached else f'{step.seconds:.0f} s'}" for step in result.steps
        )


def pipeline_arguments(material: Material, *, trigger: str) -> dict[str, Any]:
    """Arguments of `train-classifier` for the first training, or for the retraining."""
    retraining = trigger != "manual"
    return {
        "recipe": material.recipe,
        "source": str(material.retrain_source if retraining else material.source),
        "labels": str(material.retrain_labels if retraining else material.labels),
        "name": "demo",
        "keep_split": material.keep_split,
        "trigger": trigger,
    }


def approve(telling: Telling, home: Path, found: dict[str, Any]) -> None:
    raise NotImplementedError


def ask(telling: Telling, place: Path, material: Material, found: dict[str, Any]) -> None:
    raise NotImplementedError


def watch(telling: Telling, home: Path, place: Path, material: Material, found: dict[str, Any]) -> None:
    raise NotImplementedError


def retrain(telling: Telling, home: Path, material: Material, found: dict[str, Any]) -> None:
    raise NotImplementedError


def check_record(telling: Telling, home: Path, found: dict[str, Any]) -> None:
    """Prove that no event was changed, removed or cut off."""
    from audit import AuditLog

    with telling.chapter("record") as chapter:
        verification = AuditLog(home / "audit").verify()
        if not verification.ok:
            raise ServiceError(f"the audit record does not verify: {verification.problem}")
        chapter.outcome = f"{verification.checked} audit events, chain and signatures hold"
        found["audit_events"] = verification.checked


def finish(telling: Telling, place: Path, material: Material, found: dict[str, Any]) -> dict[str, Any]:
    """Write the page and say where to look next."""
    say("")
    return found
