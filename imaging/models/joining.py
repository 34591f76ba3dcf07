"""Makes one model directory of several: a deep ensemble, with nothing fitted to it yet."""

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from imaging import atomic
from imaging.errors import ConfigurationError
from imaging.models.directory import MODEL_FILES, ModelInfo, load_info, load_model, save_model
from imaging.models.novelty import NOVELTY_FILE

ALIKE = (
    "name",
    "subject",
    "architecture",
    "head",
    "single_logit",
    "auxiliary",
    "classes",
    "input",
    "packed_size",
    "packed_channels",
    "critical_classes",
)
"""What members have to agree on."""
OF_ONE: dict[str, Any] = {
    "temperature": 1.0,
    "calibration": None,
    "calibration_tried": (),
    "operating_points": {},
    "operating_point_options": {},
    "operating_point_rule": "",
    "conformal": None,
    "out_of_distribution": None,
}
"""What was fitted to one member's answers says nothing about the ensemble's."""


def join_models(members: Sequence[Path], out: Path, **changes: Any) -> ModelInfo:
    """Write an ensemble that is not calibrated.

    Args:
        members: Model directories of single networks, trained on one split; the first gives the description.
        out: The model directory to write; it appears whole or not at all.
        changes: Fields of the description that are the ensemble's own.

    Raises:
        ConfigurationError: when they cannot answer together; the message says what differs.
        ModelPackageError: when one is no model directory.
    """
    from imaging.models.ensemble import Ensemble

    infos = [load_info(member) for member in members]
    check_alike(members, infos)
    network = Ensemble([load_model(member, info) for member, info in zip(members, infos, strict=True)])
    weights = sorted({info.initial_weights for info in infos})
    described = {
        **infos[0].model_dump(),
        **OF_ONE,
        "members": len(members),
        "initial_weights": "; ".join(weights),
        **changes,
    }
    info = ModelInfo.model_validate(described)
    with atomic.new_directory(out) as directory, tempfile.TemporaryDirectory() as kept:
        told = Path(kept) / "told"
        shutil.copytree(members[0], told, ignore=shutil.ignore_patterns(*MODEL_FILES, NOVELTY_FILE, *NOT_TAKEN_ALONG))
        shutil.copytree(told, directory, dirs_exist_ok=True)
        save_model(directory, network, info)
    return info


NOT_TAKEN_ALONG = ("*.onnx", "evaluation*", "run.json", "manifest.json", "signature.json", "model_card.*", "reference*")
"""Files about the first member alone; how its training went stays, as an example of theirs."""


def check_alike(members: Sequence[Path], infos: Sequence[ModelInfo]) -> None:
    """Check that networks can answer together.

    Raises:
        ConfigurationError: when they cannot.
    """
    first = infos[0] if infos else None
    if first is None or len(infos) < 2:
        raise ConfigurationError(f"an ensemble has at least 2 members, got {len(infos)}")
    for member, info in zip(members, infos, strict=True):
        if info.members > 1:
            raise ConfigurationError(f"{member.name} is an ensemble already; join the networks themselves")
        for name in ALIKE:
            mine, theirs = getattr(info, name), getattr(first, name)
            if mine != theirs:
                raise ConfigurationError(f"{member.name} has {name} {mine}, {members[0].name} has {theirs}")
        for name in ("dataset", "split"):
            if info.digests.get(name) != first.digests.get(name):
                raise ConfigurationError(
                    f"{member.name} was trained on another {name} than {members[0].name}: "
                    "one would be tested on what another learnt"
                )
