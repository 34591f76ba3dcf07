"""Recipes for chest X-rays of two classes: pneumonia or not, abnormal or not.

| recipe                | test macro AUROC (95 %) | sensitivity at 95 % specificity | hardware, time of training |
|-----------------------|-------------------------|---------------------------------|----------------------------|
| densenet121_pneumonia | not measured yet        |                                 |                            |
| resnet50_pneumonia    | not measured yet        |                                 |                            |
| resnet50_abnormal     | not measured yet        |                                 |                            |

Sources: Rajpurkar et al. 2017, "CheXNet", for DenseNet-121 with one logit; Kermany et al. 2018, "Identifying medical
diagnoses and treatable diseases by image-based deep learning", for the children's radiographs; Wang et al. 2017,
"ChestX-ray8", for the NIH's. Published accuracy on the 624 official test images of Kermany's set is 84.6 to 91.6 %.
"""

from imaging.config import AugmentConfig, Floors, InputConfig, Stage, TrainConfig

PNEUMONIA = Floors(macro_auroc_lower=0.85, sensitivity_lower={"pneumonia": 0.7})
ABNORMAL = Floors(macro_auroc_lower=0.8, sensitivity_lower={"abnormal": 0.6})


def densenet121_pneumonia() -> TrainConfig:
    """DenseNet-121 with one logit on large images: its later half for three epochs, then everything."""
    return TrainConfig(
        name="densenet121_pneumonia",
        architecture="densenet121",
        registered_model="chest-pneumonia",
        input=InputConfig(size=512, tone="percentile"),
        stages=(
            Stage(
                name="later-half",
                epochs=3,
                trainable=4,
                lr=1e-4,
                schedule="constant",
                warmup=0.1,
                head_weight_decay=0.01,
            ),
            Stage(
                name="everything",
                epochs=47,
                trainable="all",
                lr=1e-4,
                schedule="cosine",
                final_factor=0.01,
                head_weight_decay=0.01,
            ),
        ),
        augment=AugmentConfig(rotation_degrees=10, shift=0.1, brightness=0.15, cutout=32 / 512),
        batch_size=16,
        dropout=0.3,
        loss="binary",
        monitor="val_macro_auroc",
        patience=5,
        floors=PNEUMONIA,
    )


def resnet50_pneumonia() -> TrainConfig:
    """ResNet-50: its head by one cycle, then its last stage by momentum."""
    return TrainConfig(
        name="resnet50_pneumonia",
        architecture="resnet50",
        registered_model="chest-pneumonia",
        stages=(
            Stage(name="head", epochs=5, trainable="head", lr=2e-3, schedule="one_cycle", views=5),
            Stage(name="last-stage", epochs=10, trainable="last", lr=5e-4, backbone_lr=1e-4, optimizer="sgd"),
        ),
        augment=AugmentConfig(rotation_degrees=10, crop_area=(0.85, 1.0), shift=0.03, contrast=0.15),
        floors=PNEUMONIA,
    )


def resnet50_abnormal() -> TrainConfig:
    """ResNet-50 with one logit, on images of flat histogram, until the AUROC rises no more."""
    return TrainConfig(
        name="resnet50_abnormal",
        architecture="resnet50",
        registered_model="chest-abnormal",
        input=InputConfig(tone="equalise"),
        stages=(
            Stage(
                name="everything",
                epochs=50,
                trainable="all",
                lr=1e-4,
                optimizer="adam",
                schedule="constant",
                warmup=0.01,
            ),
        ),
        augment=AugmentConfig(rotation_degrees=10, scale=(0.95, 1.05), shift=0.03, contrast=0.1),
        loss="binary",
        monitor="val_macro_auroc",
        floors=ABNORMAL,
    )
