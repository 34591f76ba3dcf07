"""The record of a run, as a run leaves it in the home."""

from pathlib import Path
from typing import Any

from pipelines.run_record import RunRecord


def keep_run(home: Path, version: str, arguments: dict[str, Any]) -> Path:
    """Keep the record of a run that registered `version`; return its dataset."""
    run_dir = home / "runs" / f"train-classifier-{version}"
    dataset = run_dir / "dataset"
    dataset.mkdir(parents=True)
    record = RunRecord(run_dir, "train-classifier", ["ingest-images", "register-model"], arguments=arguments)
    record.end("ingest-images", {"dataset": str(dataset)}, cached=False)
    record.end("register-model", {"Output": version}, cached=False)
    record.close(passed=True)
    return dataset
