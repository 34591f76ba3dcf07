"""The recipe for synthetic radiographs: no weights file, seconds a training; for the demo and for trying things out.

| recipe           | test macro AUROC (95 %)      | hardware, time of training |
|------------------|------------------------------|----------------------------|
| smallcnn_phantom | 0.985 (0.971-0.993), 1 seed  | 33 s, two AVX-512 cores         |

By `make demo`: 520 synthetic patients, their own split.
"""

from imaging.config import AugmentConfig, Floors, InputConfig, Stage, TrainConfig


def smallcnn_phantom() -> TrainConfig:
    """A small network from random weights, on inputs as coarse as the drawing allows."""
    return TrainConfig(
        name="smallcnn_phantom",
        architecture="small_cnn",
        input=InputConfig(size=112, channels=1, mean=(0.45,), std=(0.25,)),
        pretrained=False,
        stages=(
            Stage(name="everything", epochs=18, trainable="all", lr=4e-3, weight_decay=1e-2, schedule="one_cycle"),
        ),
        augment=AugmentConfig(rotation_degrees=4, scale=(0.95, 1.05), shift=0.04, brightness=0.1, contrast=0.1),
        batch_size=32,
        ema_decay=0.95,
        patience=18,
        floors=Floors(macro_auroc_lower=0.85, sensitivity_lower={"pneumonia": 0.6, "covid": 0.6}),
    )
