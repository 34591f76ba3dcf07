"""Recipes for tests: every code path is the real one, and no result means anything."""

from imaging.config import AugmentConfig, InputConfig, Stage, TrainConfig


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
