"""One experiment as one frozen value: `TrainConfig` and the parts it is made of.

A recipe is a function that returns a complete `TrainConfig`; `.replace()` changes one with validation.
"""

import hashlib
import json
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


LATER_FIELDS = ("members", "operating_point")
"""Fields of a recipe that there were not always: a recipe that leaves them alone keeps the digest it had."""


class Frozen(BaseModel):
    """Immutable, and strict about unknown names."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class InputConfig(Frozen):
    """What the network is fed: side in pixels, channels, and normalisation of values in [0, 1]."""

    size: int = Field(default=224, ge=8, le=2048)
    channels: Literal[1, 3] = 3
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    fit: Literal["resize", "pad"] = "resize"
    """How packed images of another side get to `size`: antialiased bilinear, or a black border (only to grow)."""
    tone: Literal["linear", "percentile", "equalise"] = "linear"
    """Grey values as they are; stretched from the 1st to the 99th percentile; or with their histogram equalised."""


class AugmentConfig(Frozen):
    """Random changes to a training batch, each image by its own amounts, uniform within these bounds."""

    rotation_degrees: float = Field(default=0.0, ge=0, le=180)
    scale: tuple[float, float] = (1.0, 1.0)
    shift: float = Field(default=0.0, ge=0, lt=1)
    """A share of the side, each way."""
    shear_degrees: float = Field(default=0.0, ge=0, lt=90)
    crop_area: tuple[float, float] = (1.0, 1.0)
    """Share of the area that a random crop keeps before it is brought back to size."""
    crop_padding: int = Field(default=0, ge=0)
    """Pixels of black border from which a crop of the old size is taken."""
    flip: bool = False
    """Mirror half of the images. Never for radiographs: a chest has a left and a right."""
    brightness: float = Field(default=0.0, ge=0, lt=1)
    contrast: float = Field(default=0.0, ge=0, lt=1)
    cutout: float = Field(default=0.0, ge=0, lt=1)
    """Side of a square that is blanked, as a share of the image's side."""
    noise: float = Field(default=0.0, ge=0, lt=1)
    """Standard deviation of Gaussian noise on values in [0, 1]."""


class Stage(Frozen):
    """One stretch of training with one set of trainable layers."""

    name: str
    epochs: int = Field(ge=1)
    trainable: Literal["head", "last", "all"] | Annotated[int, Field(ge=1)]
    """`head`: the new classifier; `last`: it and the last block or stage; a number: it and so many last blocks;
    `all`: everything."""
    lr: float = Field(gt=0)
    backbone_lr: float | None = None
    """Rate of the layers below the head; `lr` where absent."""
    optimizer: Literal["adam", "adamw", "sgd"] = "adamw"
    momentum: float = Field(default=0.9, ge=0, lt=1)
    """Of SGD, by Nesterov's rule where it is not 0."""
    schedule: Literal["constant", "cosine", "one_cycle", "plateau"] = "cosine"
    warmup: float = Field(default=0.0, ge=0, lt=1)
    """Share of the stage in which the rate rises in a straight line from 0."""
    final_factor: float = Field(default=0.0, ge=0, le=1)
    """Where `cosine` ends, as a share of the rate; `plateau` goes no lower."""
    weight_decay: float = Field(default=1e-4, ge=0)
    head_weight_decay: float | None = Field(default=None, ge=0)
    """Of the head's weights; `weight_decay` where absent."""
    augment: bool = True
    views: int = Field(default=0, ge=0)
    """Of a frozen stage that augments: how many augmented views of every image are run through the frozen blocks
    once and kept; 0 runs new ones every epoch."""


class Floors(Frozen):
    """The recipe's own bounds for the gates; the shared ones are in `pipelines/gates.yaml`."""

    macro_auroc_lower: float = Field(default=0.7, ge=0.5, le=1)
    sensitivity_lower: dict[str, float] = {}
    """Lower 95 % bound of sensitivity at the operating point, for each critical class."""
    latency_p95_ms: float = Field(default=1000.0, gt=0)


RuleName = Literal["youden", "fixed_specificity", "cost"]
OPERATING_RULES: tuple[RuleName, ...] = get_args(RuleName)


class OperatingRule(Frozen):
    """How the probability from which a critical class is called is chosen: `imaging.evaluation.operating_points`."""

    kind: RuleName = "youden"
    specificity: float = Field(default=0.95, gt=0, lt=1)
    """Of `fixed_specificity`: at least so many of the images of other classes are not called."""
    miss_cost: float = Field(default=5.0, gt=0)
    """Of `cost`: how many false alarms one missed case is as bad as."""
    prevalence: float = Field(default=0.1, gt=0, lt=1)
    """Of `cost`: the share of images that are of the class where the model will read; a dataset's own is enriched."""


class TrainConfig(Frozen):
    """Everything that decides what is trained."""

    name: str
    architecture: str
    registered_model: str = Field(default="chest-xray", pattern=r"^[a-z0-9][a-z0-9-]*$")
    """The registry's name of what this trains; only `chest-xray` is served."""
    subject: Literal["radiograph", "picture"] = "radiograph"
    """What the images show: only pictures may be mirrored."""
    head: Literal["plain", "pooled_256", "flatten_256"] = "plain"
    """The published classifier with its last layer replaced; or pooling, batch norm, dropout, 256 units, batch norm,
    dropout; or all features, 256 units, dropout."""
    input: InputConfig = InputConfig()
    stages: tuple[Stage, ...] = Field(min_length=1)
    augment: AugmentConfig = AugmentConfig()
    batch_size: int = Field(default=32, ge=1)
    """Images a step, over all devices."""
    pretrained: bool = True
    """Start from pretrained weights where a file (or, if allowed, a download) gives them."""
    dropout: float = Field(default=0.2, ge=0, lt=1)
    loss: Literal["cross_entropy", "focal", "binary"] = "cross_entropy"
    """`binary`: one logit for the second of two classes."""
    focal_gamma: float = Field(default=2.0, ge=0)
    auxiliary_weight: float = Field(default=0.0, ge=0, le=1)
    """Of the losses of auxiliary heads, where the architecture has them; 0 leaves those heads out."""
    class_weights: bool = True
    """Weigh classes by inverse frequency; with the `binary` loss, `pos_weight` = negatives / positives."""
    weighted_sampling: bool = False
    """Draw images with replacement, every class as often."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    clip_norm: float = Field(default=0.0, ge=0)
    """Largest norm of a step's gradient; 0 leaves it as it is."""
    ema_decay: float = Field(default=0.0, ge=0, lt=1)
    """Of the moving average of the weights, which is what is validated and kept; 0 keeps the weights themselves."""
    monitor: Literal["val_loss", "val_accuracy", "val_balanced_accuracy", "val_macro_auroc"] = "val_loss"
    """What the best epoch, early stopping and `plateau` go by."""
    patience: int = Field(default=6, ge=1)
    """Epochs of a stage without a better `monitor` before the stage ends."""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Of the network's arithmetic; `auto` is bfloat16 on a GPU that has it and float32 elsewhere."""
    compile: Literal["none", "default", "reduce-overhead"] = "none"
    """`torch.compile`'s mode; the last replays CUDA graphs."""
    deterministic: bool = False
    """Use only algorithms that give the same bits every time, also on a GPU."""
    seed: int = 0
    members: int = Field(default=1, ge=1, le=10)
    """Networks trained one after the other, from as many seeds, that answer together."""
    floors: Floors = Floors()
    operating_point: OperatingRule = OperatingRule()

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.subject == "radiograph" and self.augment.flip:
            raise ValueError(
                "a radiograph cannot be mirrored, for a chest has a left and a right; set augment.flip to false"
            )
        return self

    def replace(self, **changes: Any) -> Self:
        """Return a copy with `changes`, validated again.

        Raises:
            pydantic.ValidationError: for an unknown field or a value out of range.
        """
        return type(self).model_validate({**self.model_dump(), **changes})

    @property
    def digest(self) -> str:
        """`sha256:` of the canonical JSON of every field; `LATER_FIELDS` count from where they say something."""
        fields = self.model_dump(mode="json")
        for name in LATER_FIELDS:
            if getattr(self, name) == type(self).model_fields[name].default:
                del fields[name]
        text = json.dumps(fields, sort_keys=True, separators=(",", ":"))
        return "sha256:" + hashlib.sha256(text.encode()).hexdigest()
