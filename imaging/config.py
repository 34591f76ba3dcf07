"""One experiment as one frozen value: `TrainConfig` and the parts it is made of.

A recipe is a function that returns a complete `TrainConfig`; `.replace()` changes one with validation.
"""

import hashlib
import json
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Frozen(BaseModel):
    """Immutable, and strict about unknown names."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class InputConfig(Frozen):
    """What the network is fed: side in pixels, channels, and normalisation of values in [0, 1]."""

    size: int = Field(default=224, ge=8, le=2048)
    channels: Literal[1, 3] = 3
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD


class AugmentConfig(Frozen):
    """Random changes to a training batch. Flips are left out: a chest has a left and a right."""

    rotation_degrees: float = Field(default=0.0, ge=0)
    scale: tuple[float, float] = (1.0, 1.0)
    shift: float = Field(default=0.0, ge=0, lt=1)
    brightness: float = Field(default=0.0, ge=0, lt=1)
    contrast: float = Field(default=0.0, ge=0, lt=1)


class Stage(Frozen):
    """One stretch of training with one set of trainable layers."""

    name: str
    epochs: int = Field(ge=1)
    trainable: Literal["head", "last", "all"]
    """`head`: the new classifier; `last`: it and the last block or stage; `all`: everything."""
    lr: float = Field(gt=0)
    backbone_lr: float | None = None
    """Rate of the layers below the head; `lr` where absent."""
    optimizer: Literal["adam", "adamw", "sgd"] = "adamw"
    schedule: Literal["constant", "cosine", "one_cycle"] = "cosine"
    weight_decay: float = Field(default=1e-4, ge=0)
    augment: bool = True


class Floors(Frozen):
    """The recipe's own bounds for the gates; the shared ones are in `pipelines/gates.yaml`."""

    macro_auroc_lower: float = Field(default=0.7, ge=0.5, le=1)
    sensitivity_lower: dict[str, float] = {}
    """Lower 95 % bound of sensitivity at the operating point, for each critical class."""
    latency_p95_ms: float = Field(default=1000.0, gt=0)


class TrainConfig(Frozen):
    """Everything that decides what is trained."""

    name: str
    architecture: str
    input: InputConfig = InputConfig()
    stages: tuple[Stage, ...] = Field(min_length=1)
    augment: AugmentConfig = AugmentConfig()
    batch_size: int = Field(default=32, ge=1)
    pretrained: bool = True
    """Start from ImageNet weights where a file (or, if allowed, a download) gives them."""
    dropout: float = Field(default=0.2, ge=0, lt=1)
    class_weights: bool = True
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    patience: int = Field(default=6, ge=1)
    """Epochs of a stage without a better validation loss before the stage ends."""
    seed: int = 0
    floors: Floors = Floors()

    def replace(self, **changes: Any) -> Self:
        """Return a copy with `changes`, validated again.

        Raises:
            pydantic.ValidationError: for an unknown field or a value out of range.
        """
        return type(self).model_validate({**self.model_dump(), **changes})

    @property
    def digest(self) -> str:
        """`sha256:` of the canonical JSON of every field."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return "sha256:" + hashlib.sha256(text.encode()).hexdigest()
