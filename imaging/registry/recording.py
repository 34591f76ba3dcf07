"""The MLflow run of one training: parameters, metrics, dataset, plots and the model directory."""

import contextlib
import json
import math
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from imaging.errors import GateFailureError
from imaging.registry.session import MODEL_NAME

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT = "train-classifier"
MODEL_FOLDER = "model"
"""Where a run keeps its model directory."""
EVENT_FILES = "tensorboard"
"""Where a model directory has its curves for TensorBoard, and its run too."""

_STAYS_HERE = {".parquet"}  # rows per patient, even if hashed, are not the registry's business
_A_BATCH = 100  # MLflow's limit for parameters; metrics take 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """What a registration rests on, read once from the three folders."""

    package: Path
    evaluation_dir: Path
    gates_dir: Path
    package_digest: str
    model_name: str
    """Under which the package is registered."""
    images: dict[str, Any]
    """What the dataset's images are: subject, side and channels."""
    dataset_digest: str
    gates: list[dict[str, Any]]
    passed: bool
    evaluation: dict[str, Any]
    judged_digest: str
    """The package that the gates answered about."""
    packaged_evaluation: dict[str, Any] | None
    """The evaluation inside the package."""
    curves: list[dict[str, Any]]
    model_card: str
    params: dict[str, Any] = field(default_factory=dict)
    recent_dir: Path | None = None
    """An evaluation on newer images than those it was trained on, for those who decide."""

    @property
    def recent(self) -> dict[str, Any] | None:
        """That evaluation's figures."""
        return json.loads((self.recent_dir / "evaluation.json").read_text()) if self.recent_dir else None

    @classmethod
    def read(
        cls,
        package: Path,
        evaluation_dir: Path,
        gates_dir: Path,
        *,
        params: dict[str, Any],
        recent_dir: Path | None = None,
    ) -> Self:
        """Read the folders that packaging, evaluation and the gates wrote."""
        from imaging.models.directory import load_info, package_digest

        gates = json.loads((gates_dir / "gates.json").read_text())
        curves = package / "curves.json"
        card = package / "model_card.md"
        info = load_info(package)
        inside = package / "evaluation.json"
        return cls(
            package=package,
            evaluation_dir=evaluation_dir,
            gates_dir=gates_dir,
            package_digest=package_digest(package),
            model_name=info.name,
            images={"subject": info.subject, "size": info.packed_size, "channels": info.packed_channels},
            dataset_digest=info.digests.get("dataset", ""),
            gates=gates["results"],
            passed=gates["passed"] is True and all(_lets_through(row, info.name) for row in gates["results"]),
            evaluation=json.loads((evaluation_dir / "evaluation.json").read_text()),
            judged_digest=gates.get("package_digest", ""),
            packaged_evaluation=json.loads(inside.read_text()) if inside.exists() else None,
            curves=_epochs(json.loads(curves.read_text())) if curves.exists() else [],
            model_card=card.read_text() if card.exists() else "",
            params=params,
            recent_dir=recent_dir,
        )

    @property
    def compared_with(self) -> str:
        """The champion's package digest at the evaluation, "" where nobody was champion."""
        return str((self.evaluation.get("champion") or {}).get("champion_digest", ""))

    def check(self) -> None:
        """Refuse a package whose gates did not pass, or were about another package or evaluation.

        Raises:
            GateFailureError: saying which.
        """
        if not self.passed:
            raise GateFailureError(
                "expected a model that passed every gate, got one that did not; nothing is registered"
            )
        if self.judged_digest != self.package_digest:
            raise GateFailureError(
                f"expected gates about the package {self.package_digest}, got gates about "
                f"{self.judged_digest or 'none'}; nothing is registered"
            )
        if self.packaged_evaluation != self.evaluation:
            raise GateFailureError("expected the package's own evaluation, got another one; nothing is registered")


def _lets_through(result: Mapping[str, Any], model: str) -> bool:
    """Say whether a gate's answer allows registration: a gate that does not apply does, but not for what is served."""
    return result["passed"] is True or (result.get("applies") is False and model != MODEL_NAME)


def record_run(client: "MlflowClient", evidence: Evidence, tags: Mapping[str, str]) -> str:
    """Record one finished run and return its id. A failure leaves a run marked FAILED, never a silent half."""
    experiment = client.get_experiment_by_name(EXPERIMENT)
    experiment_id = experiment.experiment_id if experiment else client.create_experiment(EXPERIMENT)
    _end_what_a_kill_left(client, experiment_id, evidence.package_digest)
    run = client.create_run(
        experiment_id, tags={**tags, "mlflow.user": tags.get("author", "")}, run_name=tags.get("recipe")
    )
    run_id = str(run.info.run_id)
    try:
        _log_values(client, run_id, evidence)
        _log_dataset(client, run_id, evidence)
        _log_files(client, run_id, evidence)
    except BaseException:  # Ctrl-C too: the run must not look as if it still went on; raised again below
        with contextlib.suppress(Exception):  # the first failure is the one to tell
            client.set_terminated(run_id, status="FAILED")
        raise
    client.set_terminated(run_id)
    return run_id


def _end_what_a_kill_left(client: "MlflowClient", experiment_id: str, digest: str) -> None:
    """Close earlier runs of the same package that never ended."""
    question = f"tags.`package.digest` = '{digest}' and attributes.status = 'RUNNING'"
    for left_behind in client.search_runs([experiment_id], filter_string=question):
        client.set_terminated(left_behind.info.run_id, status="KILLED")


def _log_values(client: "MlflowClient", run_id: str, evidence: Evidence) -> None:
    from mlflow.entities import Metric, Param

    now = int(time.time() * 1000)
    metrics = [
        Metric(name, float(value), now, step)
        for step, epoch in enumerate(evidence.curves, start=1)
        for name, value in epoch.items()
        if _is_number(value) and name not in {"epoch", "step"}
    ]
    metrics += [Metric(f"test.{name}", value, now, 0) for name, value in _figures(evidence.evaluation)]
    params = [Param(name, value) for name, value in _flat(evidence.params)]
    for start in range(0, len(metrics), 10 * _A_BATCH):
        client.log_batch(run_id, metrics=metrics[start : start + 10 * _A_BATCH])
    for start in range(0, len(params), _A_BATCH):
        client.log_batch(run_id, params=params[start : start + _A_BATCH])


def _log_dataset(client: "MlflowClient", run_id: str, evidence: Evidence) -> None:
    """Name the dataset version as the run's input; MLflow keeps 36 characters of a digest."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    digest = evidence.dataset_digest
    profile = {"digest": digest, "images": evidence.evaluation.get("n_images"), **evidence.images}
    dataset = Dataset(
        name="dataset-" + digest.removeprefix("sha256:")[:12],
        digest=digest.removeprefix("sha256:")[:36],
        source_type="local",
        source=json.dumps({"digest": digest}),
        profile=json.dumps(profile),
    )
    client.log_inputs(run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])])


def _log_files(client: "MlflowClient", run_id: str, evidence: Evidence) -> None:
    client.log_artifacts(run_id, str(evidence.package), MODEL_FOLDER)
    folders = {"evaluation": evidence.evaluation_dir, "gates": evidence.gates_dir}
    folders |= {"recent": evidence.recent_dir} if evidence.recent_dir else {}
    for name, folder in folders.items():
        with tempfile.TemporaryDirectory() as scratch:
            kept = Path(scratch) / name
            shutil.copytree(folder, kept, ignore=lambda _, names: [n for n in names if Path(n).suffix in _STAYS_HERE])
            client.log_artifacts(run_id, str(kept), name)
    for plot in sorted(evidence.package.glob("curves.*")):
        client.log_artifact(run_id, str(plot), "plots")
    if (evidence.package / EVENT_FILES).is_dir():
        client.log_artifacts(run_id, str(evidence.package / EVENT_FILES), EVENT_FILES)


def _epochs(curves: Any) -> list[dict[str, Any]]:
    """Return one row an epoch, from a list of rows, `{"epochs": rows}` or `{name: list of values}`."""
    if isinstance(curves, dict) and isinstance(curves.get("epochs"), list):
        curves = curves["epochs"]
    if isinstance(curves, list):
        return [row for row in curves if isinstance(row, dict)]
    series = {name: values for name, values in curves.items() if isinstance(values, list)}
    longest = max((len(values) for values in series.values()), default=0)
    return [{name: values[i] for name, values in series.items() if i < len(values)} for i in range(longest)]


def _figures(evaluation: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """Yield every number of an evaluation by its dotted name; an interval gives its value, low and high."""
    for name, value in evaluation.items():
        path = f"{prefix}{_plain(name)}"
        if isinstance(value, Mapping):
            yield from _figures(value, f"{path}.")
        elif _is_number(value):
            yield path.removesuffix(".value"), float(value)


def _flat(params: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield parameters by their dotted names; lists as JSON."""
    for name, value in params.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{_plain(name)}.")
        else:
            yield f"{prefix}{_plain(name)}", json.dumps(value) if isinstance(value, (list, tuple)) else str(value)


def _plain(name: str) -> str:
    """Return a name of MLflow's alphabet."""
    return "".join(letter if letter.isalnum() or letter in "_-. /" else "_" for letter in str(name))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
