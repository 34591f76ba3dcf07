"""The recipe for synthetic radiographs: quick, for the demo and for trying the platform out.

| recipe                      | test balanced accuracy | macro AUROC | hardware, time                            |
|-----------------------------|------------------------|-------------|-------------------------------------------|
| mobilenetv2_phantom         | 0.828 (1 seed)         | 0.952       | 49 s of one Zen 3 core, shared with others |
| mobilenetv2_phantom_scratch | 0.717 (1 seed)         | 0.894       | 99 s of one Zen 3 core, shared with others |

Of 119 test images, after 220 for training, of a phantom of 240 patients with seed 0; ImageNet weights for the first.
"""

from imaging.config import AugmentConfig, Floors, InputConfig, Stage, TrainConfig


def mobilenetv2_phantom() -> TrainConfig:
    """MobileNetV2 on small images: its head, then everything, since a drawing is unlike ImageNet's photographs."""
    return TrainConfig(
        name="mobilenetv2_phantom",
        architecture="mobilenet_v2",
        input=InputConfig(size=160),
        stages=(
            Stage(name="head", epochs=20, trainable="head", lr=2e-3, weight_decay=1e-2, augment=False),
            Stage(name="all-layers", epochs=8, trainable="all", lr=1e-3, schedule="one_cycle"),
        ),
        augment=AugmentConfig(rotation_degrees=5, scale=(0.95, 1.05), shift=0.03, brightness=0.1, contrast=0.1),
        label_smoothing=0.1,
        floors=Floors(macro_auroc_lower=0.75, sensitivity_lower={"pneumonia": 0.4, "covid": 0.4}),
    )


def mobilenetv2_phantom_scratch() -> TrainConfig:
    """The recipe for a machine without ImageNet weights: smaller images, and many small steps."""
    return mobilenetv2_phantom().replace(
        name="mobilenetv2_phantom_scratch",
        input=InputConfig(size=96),
        stages=(Stage(name="all-layers", epochs=40, trainable="all", lr=1e-3, schedule="one_cycle"),),
        batch_size=8,
        patience=40,
        pretrained=False,
    )
