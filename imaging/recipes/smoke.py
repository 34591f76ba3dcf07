"""Recipes made small for tests: every code path is the real one, and no result means anything."""

from imaging.config import AugmentConfig, InputConfig, Stage, TrainConfig
from imaging.models.architectures import get_architecture

BATCH = 8
VIEWS = 2


def smoke(config: TrainConfig) -> TrainConfig:
    """Return `config` with one epoch a stage, small batches, random weights and the least input its network takes."""
    stages = tuple(
        Stage.model_validate({**stage.model_dump(), "epochs": 1, "views": min(stage.views, VIEWS)})
        for stage in config.stages
    )
    known = get_architecture(config.architecture)
    least = known.auxiliary_size if config.auxiliary_weight else known.minimum_size
    size = config.input.size if config.input.fit == "pad" else max(least, known.multiple_of)
    return config.replace(
        name=f"{config.name}_smoke",
        input=config.input.model_copy(update={"size": size}),
        stages=stages,
        batch_size=min(BATCH, config.batch_size),
        pretrained=False,
        compile="none",
    )


def mobilenetv2_smoke() -> TrainConfig:
    """Two stages of a few small images; random weights, so all layers train."""
    return TrainConfig(
        name="mobilenetv2_smoke",
        architecture="mobilenet_v2",
        input=InputConfig(size=32),
        stages=(
            Stage(name="head", epochs=1, trainable="head", lr=1e-3, augment=False),
            Stage(name="last-blocks", epochs=1, trainable="last", lr=1e-3, backbone_lr=1e-3),
        ),
        augment=AugmentConfig(rotation_degrees=5, scale=(0.95, 1.05), shift=0.02, brightness=0.05, contrast=0.05),
        batch_size=16,
        pretrained=False,
    )
