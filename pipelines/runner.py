"""Run a pipeline on this machine: the same steps as on a cluster, one process each.

A run's folder is `home/runs/<pipeline>-<time>-<id>`: the compiled pipeline, `run.json`, `steps/` with the
outputs, `logs/`. Finished steps of earlier runs are reused where code, inputs and files are the same.
"""

import os
import shutil
import time
import uuid
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from audit import AuditLog, default_folder
from imaging.errors import NotFoundError
from imaging.recipes import changed_recipe
from imaging.registry import champion_version
from imaging.settings import Settings
from pipelines import fingerprints
from pipelines.compilation import check_arguments, compile_function, find_pipeline, one_machine, parameters
from pipelines.local_kfp import Engine, execute, step_environment
from pipelines.resources import NEEDS
from pipelines.run_record import RunRecord, RunResult, StepResult
from pipelines.step_cache import StepCache

LONGEST_S = 24 * 3600.0
"""A whole run's limit."""


def run_local(
    name: str,
    arguments: Mapping[str, Any],
    *,
    home: Path,
    on_step: Callable[[StepResult], None] | None = None,
    timeout_s: float = LONGEST_S,
) -> RunResult:
    """Run the named pipeline; what each step is keyed by is worked out here, not given.

    Args:
        name: A name from `PIPELINES`.
        arguments: Its parameters.
        home: The home folder; the run is kept in it.
        on_step: Told of every change of a step.
        timeout_s: The whole run's limit.

    Returns:
        The run as it ended; a failed step is told there and not raised.

    Raises:
        NotFoundError: for an unknown pipeline or a source that is not there.
        ConfigurationError: for an unknown or missing parameter.
        ServiceError: if the registry, which the run will need, does not answer.
    """
    pipeline = find_pipeline(name)
    check_arguments(pipeline, arguments)
    known = parameters(pipeline)
    keys = {key: value for key, value in _keys(arguments, home, known).items() if key in known}
    return run_pipeline(pipeline, {**arguments, **keys}, home=home, on_step=on_step, timeout_s=timeout_s)


def run_pipeline(
    pipeline: Any,
    arguments: Mapping[str, Any],
    *,
    home: Path,
    on_step: Callable[[StepResult], None] | None = None,
    timeout_s: float = LONGEST_S,
) -> RunResult:
    """Run any pipeline as `run_local` does, with exactly these arguments."""
    check_arguments(pipeline, arguments)
    run_dir = _new_run_dir(pipeline.name, home)
    runnable = one_machine(compile_function(pipeline, run_dir / "pipeline.yaml"))
    kept = _recordable(arguments)
    record = RunRecord(run_dir, pipeline.name, _steps(runnable), on_step, arguments=kept)
    tell = _Teller(home, run_dir.name)
    tell("run.started", {"pipeline": pipeline.name, "arguments": kept})
    engine = Engine(
        run_dir=run_dir,
        record=record,
        cache=StepCache(str(home.resolve() / "runs" / ".cache")),
        environment=step_environment(home, Path(__file__).parents[1]),
        limits={step: float(needs.timeout_s) for step, needs in NEEDS.items()},
        deadline=time.monotonic() + timeout_s,
    )
    passed = False
    try:
        execute(runnable, dict(arguments), engine)
        passed = all(step.state == "done" for step in record.result.steps)
    finally:
        result = record.close(passed=passed)
        shutil.rmtree(run_dir / "tmp", ignore_errors=True)
        code = result.error.partition("]")[0].removeprefix("[")  # a message may quote a file's name
        tell("run.finished", {"passed": passed, "error": code, "version": result.version})
    return result


def _keys(arguments: Mapping[str, Any], home: Path, known: Collection[str]) -> dict[str, Any]:
    """Return what decides, beside the parameters, whether a finished step may be reused.

    A registry is asked only where the pipeline knows of one, and images are looked for where it takes some.
    """
    if "source" not in known:
        return {}
    settings = Settings(home=home)
    places = _places(arguments)
    code = fingerprints.code_version()
    return {
        **places,
        **({"champion": champion_version(settings, _registered_model(arguments))} if "champion" in known else {}),
        "code_version": code,
        "source_version": fingerprints.source_version(places["source"], places["labels"], settings),
        "weights_version": fingerprints.weights_version(settings),
        "image": f"none: ran as code {code[:19]}",
    }


def _registered_model(arguments: Mapping[str, Any]) -> str:
    """Return under which name the run's model will be registered."""
    return changed_recipe(arguments["recipe"], arguments.get("overrides", {})).registered_model


def _places(arguments: Mapping[str, Any]) -> dict[str, str]:
    """Return where images and labels are, whole paths; labels may be a name inside the source."""
    source, labels = str(arguments.get("source", "")), str(arguments.get("labels", ""))
    if "://" not in source:
        is_zip = Path(source).suffix.lower() == ".zip" and Path(source).is_file()
        if not source or not (Path(source).is_dir() or is_zip):
            raise NotFoundError(f"expected a folder of images, or a zip file of them; there is none at {source!r}")
        source = str(Path(source).resolve())
    if labels and "://" not in labels:
        if Path(labels).is_file():
            labels = str(Path(labels).resolve())
        elif "://" not in source and not (Path(source) / labels).is_file():
            raise NotFoundError(f"expected a label table, there is none at {labels!r} or inside the images' folder")
    return {"source": source, "labels": labels}


def _new_run_dir(pipeline: str, home: Path) -> Path:
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    run_dir = home.resolve() / "runs" / f"{pipeline}-{moment}-{uuid.uuid4().hex[:6]}"
    run_dir.mkdir(parents=True)
    return run_dir


def _steps(runnable: Any) -> list[str]:
    """Return the pipeline's steps in the order in which they will run; a loop's stand there once."""
    from kfp.local.graph_utils import topological_sort_tasks

    specification = runnable.pipeline_spec

    def inside(tasks: Any) -> list[str]:
        found: list[str] = []
        for name in reversed(topological_sort_tasks(tasks)):
            component = specification.components[tasks[name].component_ref.name]
            found += inside(component.dag.tasks) if component.HasField("dag") else [name]
        return found

    return inside(specification.root.dag.tasks)


def _recordable(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments that may stand in the record: not where the images lie."""
    return {name: value for name, value in arguments.items() if name not in {"source", "labels", "base"}}


class _Teller:
    """Appends a run's events to the audit log of its home."""

    def __init__(self, home: Path, run: str) -> None:
        self._log = AuditLog(default_folder(home))
        self._run = run

    def __call__(self, action: str, details: dict[str, Any]) -> None:
        self._log.append(action, actor=os.environ.get("THORAX_ACTOR") or "system", subject=self._run, details=details)
