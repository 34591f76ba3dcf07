"""Models on disk: safetensors beside a JSON description, written whole, never pickle.

The first directory is training's; calibration and packaging add to copies of it. Light to import.
"""

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from imaging import atomic
from imaging.config import Floors, Frozen, InputConfig, OperatingRule, RuleName, TrainConfig
from imaging.errors import ModelPackageError
from imaging.models.architectures import build_model
from imaging.models.calibration_map import CalibrationRule, CalibrationTry, Method, calibrated
from imaging.models.uncertainty_rules import ConformalRule, NoveltyRule

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

SCHEMA_VERSION = 1
WEIGHTS_FILE = "model.safetensors"
INFO_FILE = "model.json"
MODEL_FILES = (WEIGHTS_FILE, INFO_FILE)
PACKAGE_FILES = (
    *MODEL_FILES,
    "model.onnx",
    "reference_profile.parquet",
    "evaluation.json",
    "evaluation.html",
    "model_card.md",
    "model_card.html",
    "sbom.cdx.json",
    "curves.json",
    "reference_image.png",
    "reference_answer.json",
)
"""What a directory holds when it can be registered and served."""
FORBIDDEN_SUFFIXES = (".pkl", ".pickle", ".pt", ".pth", ".bin", ".py", ".pyc", ".joblib", ".npy", ".so", ".sh")
"""Files that could run code when loaded; `.npy` may hold pickled objects."""
UNSIGNED = ("signature.json",)


class ModelInfo(Frozen):
    """Everything but the weights that decides an answer, and where it all came from: `model.json`."""

    schema_version: int = SCHEMA_VERSION
    name: str = Field(default="chest-xray", pattern=r"^[a-z0-9][a-z0-9-]*$")
    """Of the registered model; only `chest-xray` is served."""
    subject: Literal["radiograph", "picture"] = "radiograph"
    """What the images show: views and critical classes are asked of radiographs only."""
    recipe: str
    architecture: str
    head: Literal["plain", "pooled_256", "flatten_256"] = "plain"
    single_logit: bool = False
    """Whether the network has one output, for the second of two classes."""
    members: int = Field(default=1, ge=1, le=10)
    """Networks that answer together: `imaging.models.ensemble`."""
    auxiliary: bool = False
    """Whether the weights include auxiliary heads, which give no answers."""
    classes: tuple[str, ...] = Field(min_length=2)
    input: InputConfig
    packed_size: int = Field(ge=8)
    """Side in pixels of the packed images, before the network's own resizing."""
    packed_channels: Literal[1, 3] = 1
    """Of the packed images: grey or red, green and blue."""
    temperature: float = Field(default=1.0, gt=0)
    calibration: CalibrationRule | None = None
    """What is done to the logits instead, where a temperature is not enough."""
    calibration_tried: tuple[CalibrationTry, ...] = ()
    """How that was chosen."""
    operating_points: dict[str, float] = Field(default={})
    """Probability from which a class counts as found."""
    operating_point_rule: str = ""
    """In words, how they were chosen."""
    operating_rule: OperatingRule = OperatingRule()
    operating_point_options: dict[str, dict[RuleName, float]] = Field(default={})
    """By class, the threshold that each rule chooses; a model of an earlier release has none."""
    confidence_floor: float = Field(default=0.6, ge=0, le=1)
    conformal: ConformalRule | None = None
    """What prediction sets rest on; a model of an earlier release has none."""
    out_of_distribution: NoveltyRule | None = None
    """What goes with `out_of_distribution.safetensors`; a model of an earlier release has neither."""
    critical_classes: tuple[str, ...] = ()
    """Classes that must not be missed."""
    initial_weights: str = "random"
    digests: dict[str, str] = Field(default={})
    """Of the dataset, split, recipe, code and image that made the model."""
    floors: Floors = Floors()
    trigger: Literal["manual", "drift", "schedule"] = "manual"
    seed: int = 0

    @model_validator(mode="after")
    def _known_classes_only(self) -> Self:
        if len(set(self.classes)) != len(self.classes):
            raise ValueError(f"class names repeat: {', '.join(self.classes)}")
        unknown = sorted({*self.critical_classes, *self.operating_points} - set(self.classes))
        if unknown:
            raise ValueError(f"no class {', '.join(unknown)}; there are: {', '.join(self.classes)}")
        if self.calibration is not None and self.calibration.classes != len(self.classes):
            raise ValueError(f"{self.calibration.classes} classes are calibrated, {len(self.classes)} are known")
        if self.single_logit and len(self.classes) != 2:
            raise ValueError(f"one logit tells 2 classes apart, got {len(self.classes)}")
        if self.subject == "picture" and self.critical_classes:
            raise ValueError(f"a picture has no critical class, got {', '.join(self.critical_classes)}")
        return self

    @property
    def calibration_method(self) -> Method:
        """How logits become probabilities."""
        if self.calibration is not None:
            return self.calibration.method
        return "none" if self.temperature == 1 else "temperature"

    def calibrated(self, logits: "np.ndarray") -> "np.ndarray":
        """Return calibrated probabilities (N, C) float64 of logits (N, C), rows summing to 1."""
        return calibrated(logits, self.temperature, self.calibration)


def save_model(directory: Path, model: "nn.Module", info: ModelInfo) -> None:
    """Write the weights and the description into `directory`, made where absent."""
    from safetensors.torch import save

    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    atomic.write_bytes(directory / WEIGHTS_FILE, save(tensors, metadata={"format": "pt"}))
    atomic.write_text(directory / INFO_FILE, info.model_dump_json(indent=2) + "\n")


def load_info(directory: Path) -> ModelInfo:
    """Read `model.json`.

    Raises:
        ModelPackageError: when it is absent, not valid, or of a later schema version.
    """
    path = directory / INFO_FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        version = int(content["schema_version"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelPackageError(f"{directory.name} holds no readable {INFO_FILE}") from error
    if version > SCHEMA_VERSION:
        raise ModelPackageError(f"{INFO_FILE} has schema {version}, this release reads up to {SCHEMA_VERSION}; upgrade")
    try:
        return ModelInfo.model_validate(content)
    except ValidationError as error:
        raise ModelPackageError(f"{INFO_FILE} is not valid: {error}") from error


def load_model(directory: Path, info: ModelInfo) -> "nn.Module":
    """Build the network of `info` with the directory's weights, in evaluation mode.

    Raises:
        ModelPackageError: when the weights are absent, broken, or of another architecture or class count.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    model = build_network(info)
    try:
        model.load_state_dict(load_file(directory / WEIGHTS_FILE))
    except (OSError, SafetensorError) as error:
        raise ModelPackageError(f"{directory.name} holds no readable {WEIGHTS_FILE}") from error
    except RuntimeError as error:
        raise ModelPackageError(
            f"{WEIGHTS_FILE} is not a {info.architecture} with {len(info.classes)} classes"
        ) from error
    return model.eval()


def build_network(info: ModelInfo) -> "nn.Module":
    """Build the network that `info` describes, or the ensemble, with random weights."""
    from imaging.models.ensemble import ensemble_of

    return ensemble_of(
        info.members,
        lambda: build_model(
            info.architecture,
            num_classes=len(info.classes),
            channels=info.input.channels,
            size=info.input.size,
            head=info.head,
            single_logit=info.single_logit,
            auxiliary=info.auxiliary,
        ),
    )


def describe_model(
    config: TrainConfig,
    classes: tuple[str, ...],
    *,
    packed_size: int,
    packed_channels: int,
    initial_weights: str,
    digests: dict[str, str],
) -> ModelInfo:
    """Return the description of what `config` trains on a dataset of these classes.

    Args:
        config: The recipe.
        classes: Of the dataset, in the order of the network's outputs.
        packed_size: Side of the dataset's images.
        packed_channels: Of the dataset's images, 1 or 3.
        initial_weights: Where they came from.
        digests: Of the dataset, split, recipe and code.
    """
    return ModelInfo.model_validate(
        {
            "name": config.registered_model,
            "subject": config.subject,
            "recipe": config.name,
            "architecture": config.architecture,
            "head": config.head,
            "single_logit": config.loss == "binary",
            "auxiliary": config.auxiliary_weight > 0,
            "classes": classes,
            "input": config.input,
            "packed_size": packed_size,
            "packed_channels": packed_channels,
            "critical_classes": critical_classes(classes, config),
            "initial_weights": initial_weights if config.pretrained else f"{initial_weights}, as the recipe says",
            "digests": digests,
            "floors": config.floors,
            "operating_rule": config.operating_point,
            "seed": config.seed,
        }
    )


def critical_classes(classes: tuple[str, ...], config: TrainConfig) -> tuple[str, ...]:
    """Return the classes of a radiograph whose miss is the costly mistake: all but `normal`, where it is there.

    Elsewhere those that the recipe bounds, or all where it bounds none of them. A picture has none.
    """
    if config.subject == "picture":
        return ()
    if any(name.lower() == "normal" for name in classes):
        return tuple(name for name in classes if name.lower() != "normal")
    return tuple(name for name in classes if name in config.floors.sensitivity_lower) or classes


def replace_info(
    directory_in: Path, directory_out: Path, *, added: Mapping[str, bytes] | None = None, **changes: Any
) -> ModelInfo:
    """Copy a model directory with some fields of its description changed, validated again, and files `added` by name.

    Raises:
        ModelPackageError: when a change is not a field or not a possible value.
    """
    info = load_info(directory_in)
    try:
        changed = ModelInfo.model_validate({**info.model_dump(), **changes})
    except ValidationError as error:
        raise ModelPackageError(f"the model's description cannot be changed so: {error}") from error
    with atomic.new_directory(directory_out) as directory:
        shutil.copytree(directory_in, directory, dirs_exist_ok=True)
        atomic.write_text(directory / INFO_FILE, changed.model_dump_json(indent=2) + "\n")
        for name, content in (added or {}).items():
            atomic.write_bytes(directory / name, content)
    return changed


def package_digest(directory: Path) -> str:
    """Return `sha256:` over every file's relative name and content, in the order of the names.

    Signatures are left out, since they are made over this digest.
    """
    files = sorted((path.relative_to(directory).as_posix(), path) for path in directory.rglob("*") if path.is_file())
    listed = [[name, _file_sha256(path)] for name, path in files if name not in UNSIGNED]
    return "sha256:" + hashlib.sha256(json.dumps(listed, separators=(",", ":")).encode()).hexdigest()


def verify_package(directory: Path, digest: str, *, required: tuple[str, ...] = MODEL_FILES) -> ModelInfo:
    """Check that `directory` is complete, safe to load, and the one that `digest` names.

    Raises:
        ModelPackageError: for a missing file, a file that could run code, a link, or another digest.
    """
    missing = [name for name in required if not (directory / name).is_file()]
    if missing:
        raise ModelPackageError(f"the model package lacks {', '.join(missing)}")
    for path in directory.rglob("*"):
        if path.suffix.lower() in FORBIDDEN_SUFFIXES:
            raise ModelPackageError(f"the model package holds {path.name}, which could run code when loaded")
        if path.is_symlink():
            raise ModelPackageError(f"the model package holds {path.name}, which is a link")
    found = package_digest(directory)
    if found != digest:
        raise ModelPackageError(f"the model package's digest is {found}, expected {digest}: it was changed")
    return load_info(directory)


def _file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
