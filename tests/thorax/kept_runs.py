"""The record of a run, as a run leaves it in the home."""

from pathlib import Path
from typing import Any

from pipelines.run_record import RunRecord

STEPS = {
    "train-classifier": ("ingest-images", "register-model"),
    "retrain": ("merge-datasets", "register-retrained"),
}


def keep_run(home: Path, version: str, arguments: dict[str, Any], *, pipeline: str = "train-classifier") -> Path:
    """Keep the record of a run that registered `version`; return its dataset."""
    run_dir = home / "runs" / f"{pipeline}-{version}"
    dataset = run_dir / "dataset"
    dataset.mkdir(parents=True)
    data, register = STEPS[pipeline]
    record = RunRecord(run_dir, pipeline, [data, register], arguments=arguments)
    record.end(data, {"dataset": str(dataset)}, cached=False)
    record.end(register, {"Output": version}, cached=False)
    record.close(passed=True)
    return dataset
