"""The recipe for synthetic radiographs: quick, for the demo and for trying the platform out.

| recipe              | test balanced accuracy | hardware, time | commit |
|---------------------|------------------------|----------------|--------|
| mobilenetv2_phantom | not measured yet       |                |        |
"""

from imaging.config import InputConfig, Stage, TrainConfig
from imaging.recipes.xray3 import mobilenetv2_xray3


def mobilenetv2_phantom() -> TrainConfig:
    """MobileNetV2 on small images: the drawing is coarse, so nothing is lost that a finer input would show."""
    return mobilenetv2_xray3().replace(
        name="mobilenetv2_phantom",
        input=InputConfig(size=160),
        stages=(
            Stage(name="head", epochs=20, trainable="head", lr=2e-3, weight_decay=1e-2, augment=False),
            Stage(name="last-blocks", epochs=10, trainable="last", lr=6e-4, backbone_lr=2e-4, augment=False),
        ),
    )
