"""Registration and its audit event, for a first model and a retrained one."""

from pathlib import Path
from typing import Any

from audit import record
from imaging.models.directory import load_info
from imaging.recipes import changed_recipe
from imaging.registry import Registry
from imaging.settings import Settings


def register(
    package: Path,
    evaluation: Path,
    gates: Path,
    recipe: str,
    overrides: dict[str, Any],
    *,
    trigger: str,
    image: str,
    digest: str,
    recent: Path | None = None,
) -> str:
    """Register `package` as the challenger of its registered model; return the version's number.

    Args:
        package: The final model directory.
        evaluation: What `evaluate_model` wrote.
        gates: What `check_gates` wrote.
        recipe: A name from `imaging.recipes`.
        overrides: The TrainConfig fields that were changed.
        trigger: Why it was trained.
        image: The container image it was trained in.
        digest: The package's, for the record.
        recent: What `compare_on_recent` wrote.
    """
    params = changed_recipe(recipe, overrides).model_dump(mode="json")
    registry = Registry.from_settings(Settings(), load_info(package).name)
    version = registry.register(
        package,
        evaluation,
        gates,
        recipe=recipe,
        trigger=trigger,
        params=params,
        image_digest=image,
        recent_dir=recent,
    )
    details = {"recipe": recipe, "trigger": trigger, "digest": digest}
    record("model.registered", subject=f"{registry.model}/{version}", details=details)
    return version
