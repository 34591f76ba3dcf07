"""What decides a model's answers, as one digest: an evaluation that names it is about that model and no other."""

import hashlib
import json
from pathlib import Path

from imaging.models.directory import load_info
from imaging.models.manifest import file_digest
from imaging.models.novelty import NOVELTY_FILE

DECIDING = (
    "subject",
    "architecture",
    "head",
    "single_logit",
    "classes",
    "input",
    "packed_size",
    "packed_channels",
    "temperature",
    "calibration",
    "members",
    "operating_points",
    "confidence_floor",
    "critical_classes",
    "conformal",
    "out_of_distribution",
)


def answers_digest(directory: Path) -> str:
    """Digest the weights and every field of `model.json` that changes an answer (provenance does not)."""
    # Without what is absent, so that a model that has no such rule keeps the digest it had before there was one.
    fields = load_info(directory).model_dump(mode="json", include=set(DECIDING), exclude_none=True)
    if fields["members"] == 1:
        del fields["members"]
    fields["weights"] = file_digest(directory / "model.safetensors")
    if (directory / NOVELTY_FILE).is_file():
        fields["reference"] = file_digest(directory / NOVELTY_FILE)
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"))
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()
