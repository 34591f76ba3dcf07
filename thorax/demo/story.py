"""The demo's stages, in order, each the same call that its own command makes."""

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from imaging.errors import GateFailureError, ReleaseRefusedError, ServiceError
from imaging.settings import Settings
from thorax.demo.ending import auroc_rows, finish, recent_lines
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
    ask(telling, material, found)
    watch(telling, home, material, found)
    retrain(telling, home, material, found)
    check_record(telling, home, found)
    return finish(telling, home, material, found)


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
        if material.weights and "THORAX_WEIGHTS" not in os.environ:
            os.environ["THORAX_WEIGHTS"] = str(material.weights)
            chapter.details.append(f"ImageNet weights from {material.weights}; THORAX_WEIGHTS names others")
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
        chapter.outcome = f"gates passed, version {result.version} registered as challenger"
        chapter.details.append(
            " · ".join(f"{step.name} {'reused' if step.cached else f'{step.seconds:.0f} s'}" for step in result.steps)
        )
        for row in auroc_rows(result):
            chapter.details.append(f"AUROC {row['name']:<10} {row['value']:.3f}  [{row['low']:.3f}, {row['high']:.3f}]")


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
    """Set `champion` as the approver and wait until the release controller serves exactly that version."""
    from imaging.registry import Registry
    from thorax.stack.environment import settings_for

    with telling.chapter("approve") as chapter:
        version = found["run"].version
        telling.note(f"approving version {version}; the release controller loads it")
        registry = Registry.from_settings(settings_for(home, "approver"))
        registry.set_alias(version, "champion")
        chapter.outcome = f"version {version}: {wait_until_served(registry, version)}, alias champion set by approver"


def wait_until_served(registry: Any, version: str, within_s: float = 180.0) -> str:
    """Return the deployment status of a version that serves.

    Raises:
        ReleaseRefusedError: if the controller refused it, or took longer than `within_s`.
    """
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        tags = registry.get(version).tags
        status = tags.get("deployment.status", "pending")
        if status == "serving":
            return status
        if status in {"refused", "rolled_back"}:
            raise ReleaseRefusedError(
                f"version {version} is {status}: {tags.get('deployment.reason', 'no reason given')}"
            )
        time.sleep(0.5)
    raise ReleaseRefusedError(f"version {version} was not serving after {within_s:.0f} s; see `thorax logs controller`")


def ask(telling: Telling, material: Material, found: dict[str, Any]) -> None:
    """Send ten files to the endpoint, with a heat map each."""
    from imaging.errors import InvalidImageError
    from serving.client import ChestXrayClient
    from serving.errors import RefusedError

    with telling.chapter("ask") as chapter:
        client = ChestXrayClient.from_settings(Settings())
        answers: list[Any] = []
        found["answers"] = answers
        for path in material.first_ten:
            try:
                answers.append(client.predict(path, explain="grad-cam"))
            except (RefusedError, InvalidImageError) as refusal:
                answers.append(refusal)
        answered = [answer for answer in answers if not isinstance(answer, Exception)]
        referred = sum(answer.triage.decision == "refer" for answer in answered)
        chapter.outcome = (
            f"{len(answers)} files: {len(answered) - referred} to report, {referred} referred to a radiologist, "
            f"{len(answers) - len(answered)} refused"
        )


def watch(telling: Telling, home: Path, material: Material, found: dict[str, Any]) -> None:
    """Send the shifted device's images, then compare the window with the model's reference."""
    from thorax.commands.monitor import look

    with telling.chapter("new device") as chapter:
        answered = send_all(telling, material.shifted)
        chapter.outcome = f"{len(material.shifted)} images of a device with another style: {answered} answered"
    with telling.chapter("drift") as chapter:
        telling.note("comparing the prediction log with the model's reference")
        found["served"], drift = look(home)
        found["drift"] = drift
        highest = max(drift.scores, key=lambda name: drift.scores[name])
        chapter.outcome = (
            f"{'drift found' if drift.drifted else 'no drift'} in {drift.rows} requests: "
            f"PSI {drift.scores[highest]:.2f} on {highest}, {len(drift.above)} figures above the bound"
        )


def send_all(telling: Telling, files: Sequence[Path]) -> int:
    """Send files four at a time; return how many were answered."""
    from concurrent.futures import ThreadPoolExecutor

    from serving.client import ChestXrayClient
    from serving.errors import RefusedError

    client = ChestXrayClient.from_settings(Settings())

    def answered(path: Path) -> bool:
        try:
            client.predict(path)
        except RefusedError:
            return False
        return True

    with ThreadPoolExecutor(max_workers=4) as pool:
        count = 0
        for number, ok in enumerate(pool.map(answered, files), start=1):
            count += ok
            telling.note(f"traffic from the new device: {number} of {len(files)}")
    return count


def retrain(telling: Telling, home: Path, material: Material, found: dict[str, Any]) -> None:
    """Let the change control plan decide; a retrained model becomes a challenger and no more."""
    from thorax.commands.monitor import respond

    with telling.chapter("retrain") as chapter:
        decision, ended = respond(
            home,
            found["served"],
            found["drift"],
            data=str(material.retrain_source),
            labels=str(material.retrain_labels),
            keep_split=material.keep_split if material.whole else None,
            whole=material.whole,
            on_step=lambda step: telling.note(f"retraining: {step.name} {step.state}"),
        )
        found["decision"] = decision
        if ended is None:
            chapter.outcome = f"none ({decision.rule}): {decision.reason}"
            return
        if not ended.passed:
            chapter.outcome = f"[red]no challenger[/red]: a gate stopped it; see `thorax pipelines show {ended.run}`"
            return
        found["challenger"] = ended.version
        chapter.details += recent_lines(home, ended.run)
        chapter.outcome = (
            f"version {ended.version} is the challenger; version {found['served'].version} goes on serving"
        )


def check_record(telling: Telling, home: Path, found: dict[str, Any]) -> None:
    """Prove that no event was changed, removed or cut off."""
    from audit import AuditLog, default_folder

    with telling.chapter("record") as chapter:
        verification = AuditLog(default_folder(home)).verify()
        if not verification.ok:
            raise ServiceError(f"the audit record does not verify: {verification.problem}")
        chapter.outcome = f"{verification.checked} audit events, chain and signatures hold"
        found["audit_events"] = verification.checked
