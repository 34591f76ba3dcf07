"""Whether the images and scores of the last window still look like those the model was measured on.

Evidently computes PSI for each watched figure. A figure has drifted when its PSI is above the plan's bound *and* above
what sampling alone gives for samples of these sizes; fewer different images than the plan asks for decide nothing.
What PSI cannot see: whether the answers are still right. That takes labels.
"""

import hashlib
import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imaging.atomic import new_directory, write_text
from imaging.data.statistics import STATISTICS
from imaging.errors import ConfigurationError, ModelPackageError
from imaging.settings import Settings
from monitoring.change_control import DriftTrigger
from monitoring.prediction_log import read_log
from monitoring.psi import sampling_noise

if TYPE_CHECKING:
    import pandas as pd

DECIMALS = 6
"""Both sides are rounded alike: the log keeps text, the reference may keep float32."""
SCORE = "p_"
SMOKE = "smoke-"
"""How request ids of a release's own questions begin; a client's may begin so too, but it asks about its own images."""
UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@dataclass(frozen=True, kw_only=True, slots=True)
class DriftResult:
    """The outcome of one check."""

    drifted: bool
    scores: dict[str, float]
    """PSI of each watched figure."""
    noise: dict[str, float]
    """What PSI stays below by sampling alone, at the plan's level for all figures together."""
    above: tuple[str, ...]
    """Figures above the bound; drifted only where above the noise too."""
    rows: int
    """Different images compared."""
    reference_rows: int
    refused: int
    """Requests of the window that got a refusal, and so no score."""
    enough: bool
    html: Path
    json: Path


@dataclass(frozen=True, slots=True)
class Window:
    """What is compared."""

    reference: "pd.DataFrame"
    current: "pd.DataFrame"
    refused: int = 0
    since: str = ""
    columns: tuple[str, ...] = field(default=())


def run_drift(
    settings: Settings,
    *,
    window: str | None,
    package: Path,
    out: Path,
    trigger: DriftTrigger,
    model_digest: str | None = None,
) -> DriftResult:
    """Compare the logged requests of the last window with the package's reference; write `out` whole or not at all.

    Args:
        settings: Where the prediction log is.
        window: For example 7d, 12h or 30m; the plan's where absent.
        package: The model directory that serves.
        out: Gets drift.html, drift.json and Evidently's own evidently.html and evidently.json.
        trigger: The plan's bound, sample sizes and watched figures.
        model_digest: Only requests that this model answered count; all where absent.

    Raises:
        ConfigurationError: for a window that is none.
        ModelPackageError: for a package without a reference profile.
    """
    since = datetime.now(UTC) - duration(window or trigger.window)
    compared = _window(settings.home / "predictions" / "parquet", package, since, model_digest, trigger)
    with new_directory(out) as folder:
        scores = _evidently(compared, trigger, folder) if len(compared.current) else {}
        noise = _noise(compared, trigger) if scores else {}
        result = _judge(compared, scores, noise, trigger, out)
        _write(result, trigger, folder, since=compared.since, model_digest=model_digest)
    return result


def duration(text: str) -> timedelta:
    """Parse a window: a number and m, h, d or w."""
    found = re.fullmatch(r"([0-9]{1,5})([mhdw])", text)
    if not found or not int(found[1]):
        raise ConfigurationError(f"no window {text!r}: write a number and m, h, d or w, as in 7d or 12h")
    return timedelta(**{UNITS[found[2]]: int(found[1])})


def _window(parquet: Path, package: Path, since: datetime, model_digest: str | None, trigger: DriftTrigger) -> Window:
    import pandas as pd

    try:
        reference = pd.read_parquet(package / "reference_profile.parquet")
    except FileNotFoundError as error:
        raise ModelPackageError(f"the model directory {package.name} has no reference_profile.parquet") from error
    watched = [name for name in reference.columns if name.startswith(SCORE)] if "scores" in trigger.watched else []
    watched += [name for name in STATISTICS if name in reference and "statistics" in trigger.watched]
    rows = read_log(parquet, since=since, model_digest=model_digest)
    asked_by_release = _reference_image(package)
    answered = [
        row for row in rows if row["scores"] and not row["refusal_code"] and not _is_smoke_test(row, asked_by_release)
    ]
    # One image asked about many times is one observation; a burst of it must look like no drift.
    distinct = {row["image_sha256"] or row["request_id"]: row for row in answered}
    current = pd.DataFrame([_figures(row) for row in distinct.values()], columns=watched, dtype="float64")
    return Window(
        reference=reference[watched].astype("float64").dropna().round(DECIMALS),
        current=current.dropna().round(DECIMALS),
        refused=sum(1 for row in rows if row["refusal_code"]),
        since=since.isoformat(timespec="seconds"),
        columns=tuple(watched),
    )


def _reference_image(package: Path) -> str:
    """Return the digest of the image that a release asks about; nothing where the package has none."""
    try:
        return "sha256:" + hashlib.sha256((package / "reference_image.png").read_bytes()).hexdigest()
    except FileNotFoundError:
        return ""


def _is_smoke_test(row: dict[str, Any], image: str) -> bool:
    return bool(image) and str(row["request_id"]).startswith(SMOKE) and row["image_sha256"] == image


def _figures(row: dict[str, Any]) -> dict[str, float]:
    return {**row["statistics"], **{f"{SCORE}{name}": value for name, value in row["scores"].items()}}


def _evidently(compared: Window, trigger: DriftTrigger, folder: Path) -> dict[str, float]:
    """Let Evidently compute PSI and draw the distributions; return PSI by figure."""
    import warnings

    os.environ.setdefault("DO_NOT_TRACK", "1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from evidently import DataDefinition, Dataset, Report
        from evidently.metrics import ValueDrift

        definition = DataDefinition(numerical_columns=list(compared.columns))
        current = Dataset.from_pandas(compared.current, data_definition=definition)
        reference = Dataset.from_pandas(compared.reference, data_definition=definition)
        metrics = [ValueDrift(column=name, method="psi", threshold=trigger.bound) for name in compared.columns]
        snapshot = Report(metrics).run(current, reference)
        snapshot.save_html(str(folder / "evidently.html"))
        report = json.loads(snapshot.json())
    write_text(folder / "evidently.json", json.dumps(report) + "\n")
    values = [float(metric["value"]) for metric in report["metrics"]]
    return dict(zip(compared.columns, values, strict=True))


def _noise(compared: Window, trigger: DriftTrigger) -> dict[str, float]:
    """Return each figure's noise at a level that holds for all watched figures together (Bonferroni)."""
    each = 1 - (1 - trigger.noise_level) / len(compared.columns)
    return {
        name: sampling_noise(
            compared.reference[name].to_numpy(), sample=len(compared.current), level=each, resamples=trigger.resamples
        )
        for name in compared.columns
    }


def _judge(
    compared: Window, scores: dict[str, float], noise: dict[str, float], trigger: DriftTrigger, out: Path
) -> DriftResult:
    rows, reference_rows = len(compared.current), len(compared.reference)
    enough = rows >= trigger.minimum_sample and reference_rows >= trigger.minimum_reference
    above = tuple(name for name, value in scores.items() if value > trigger.bound)
    return DriftResult(
        drifted=enough and any(scores[name] > noise[name] for name in above),
        scores=scores,
        noise=noise,
        above=above,
        rows=rows,
        reference_rows=reference_rows,
        refused=compared.refused,
        enough=enough,
        html=out / "drift.html",
        json=out / "drift.json",
    )


def verdict(result: DriftResult, trigger: DriftTrigger) -> str:
    """Say the outcome in a sentence."""
    if not result.enough:
        return (
            f"Too little to judge: {result.rows} different images against a reference of {result.reference_rows}; "
            f"the plan asks for {trigger.minimum_sample} and {trigger.minimum_reference}."
        )
    if result.drifted:
        names = [name for name in result.above if result.scores[name] > result.noise[name]]
        return f"Drift: {', '.join(names)} above the bound of {trigger.bound} and above sampling noise."
    if result.above:
        return f"No drift shown: {', '.join(result.above)} above the bound, but within sampling noise."
    return f"No drift: every watched figure is below the bound of {trigger.bound}."


def _write(result: DriftResult, trigger: DriftTrigger, folder: Path, *, since: str, model_digest: str | None) -> None:
    from jinja2 import Environment

    figures: Sequence[dict[str, Any]] = [
        {"name": name, "psi": value, "noise": result.noise[name], "state": _state(result, name)}
        for name, value in sorted(result.scores.items(), key=lambda item: -item[1])
    ]
    document = {
        "schema_version": 1,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "since": since,
        "model_digest": model_digest,
        "verdict": verdict(result, trigger),
        "drifted": result.drifted,
        "enough": result.enough,
        "rows": result.rows,
        "reference_rows": result.reference_rows,
        "refused": result.refused,
        "bound": trigger.bound,
        "noise_level": trigger.noise_level,
        "figures": figures,
    }
    write_text(folder / "drift.json", json.dumps(document, indent=1) + "\n")
    template = resources.files("monitoring").joinpath("drift.html").read_text()
    page = (
        Environment(autoescape=True).from_string(template).render(document, most=max(result.scores.values(), default=1))
    )
    write_text(folder / "drift.html", page)


def _state(result: DriftResult, name: str) -> str:
    if name not in result.above:
        return "below the bound"
    if result.scores[name] <= result.noise[name]:
        return "above the bound, within sampling noise"
    return "drifted" if result.enough else "above the bound and the noise, but too few images to judge"
