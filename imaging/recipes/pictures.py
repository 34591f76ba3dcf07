"""Recipes for photographs in folders: five kinds of flowers, cats and dogs, and any other tree of class folders.

| recipe               | test accuracy (mean +- std, n seeds) | hardware, time of training |
|----------------------|--------------------------------------|----------------------------|
| vgg16_flowers        | not measured yet                     |                            |
| mobilenetv2_flowers  | 90.2 % +- 2.0, 3 seeds               | 50 s, two Zen 3 cores      |
| resnet18_catsdogs    | not measured yet                     |                            |
| mobilenetv2_catsdogs | 96.1 % +- 1.0, 3 seeds               | 13 s, two Zen 3 cores      |
| folder_cnn           | 45.3 % (34.7-57.3), 1 seed           | 9 s, two Zen 3 cores       |

Measured by `benchmarks/bench_transfer.py`: 275 flowers packed at 320 px (75 to test), 236 cats and dogs at 224 (60 to
test); `folder_cnn` on the flowers at 128 px. VGG16 and ResNet-18 need weights that are not at hand.

How MobileNetV2's were chosen: by four-fold cross-validation without the test part. Flowers at 224 px: right for 84.0 %
with its last two blocks and the best epoch, 84.5 % with averaged weights, 85.3 % with the last six blocks as well; at
320 px, with the first of these, 87.2 %; with all of it, and 40 instead of 20 epochs of its head, 87.7 %. That the first
had 85.8 % on the test part was known by then. Cats and dogs: 98.4 to 98.8 % with every one of these and at 320 px, one
or two pictures apart; 97.8 % by the head alone. The head's epochs were doubled because on kept views they cost little.

Sources: Simonyan and Zisserman 2015, "Very deep convolutional networks for large-scale image recognition"; Sandler et
al. 2018, "MobileNetV2"; He et al. 2016, "Deep residual learning for image recognition"; Yosinski et al. 2014, "How
transferable are features in deep neural networks?", for a head first and the last layers then.
"""

from imaging.config import AugmentConfig, Floors, InputConfig, Stage, TrainConfig

FLOORS = Floors(macro_auroc_lower=0.9)
FIFTH_OF_A_RADIAN = 11.5


def vgg16_flowers() -> TrainConfig:
    """VGG16 with 256 units on all its features: the head, then its last convolutions."""
    return TrainConfig(
        name="vgg16_flowers",
        architecture="vgg16",
        registered_model="flowers",
        subject="picture",
        head="flatten_256",
        stages=(
            Stage(
                name="head",
                epochs=5,
                trainable="head",
                lr=1e-4,
                optimizer="adam",
                schedule="constant",
                weight_decay=0,
                views=5,
            ),
            Stage(
                name="last-convolutions",
                epochs=3,
                trainable="last",
                lr=1e-5,
                optimizer="adam",
                schedule="constant",
                weight_decay=0,
            ),
        ),
        augment=AugmentConfig(
            rotation_degrees=20, scale=(0.8, 1.2), shift=0.2, shear_degrees=FIFTH_OF_A_RADIAN, flip=True
        ),
        dropout=0.5,
        floors=FLOORS,
    )


def mobilenetv2_flowers() -> TrainConfig:
    """MobileNetV2 on larger pictures than it was made for: its head on a few views of each, then its last blocks."""
    return TrainConfig(
        name="mobilenetv2_flowers",
        architecture="mobilenet_v2",
        registered_model="flowers",
        subject="picture",
        input=InputConfig(size=320),
        stages=(
            Stage(name="head", epochs=40, trainable="head", lr=2e-3, weight_decay=1e-2, views=4),
            Stage(
                name="last-blocks",
                epochs=12,
                trainable=6,
                lr=3e-4,
                backbone_lr=1e-4,
                schedule="one_cycle",
                views=4,
            ),
        ),
        augment=AugmentConfig(rotation_degrees=10, crop_area=(0.6, 1.0), flip=True, brightness=0.1, contrast=0.1),
        label_smoothing=0.05,
        ema_decay=0.95,
        patience=40,
        floors=FLOORS,
    )


def resnet18_catsdogs() -> TrainConfig:
    """ResNet-18 on a hundred pictures a class: its head, then its last stage and head at their own rates."""
    return TrainConfig(
        name="resnet18_catsdogs",
        architecture="resnet18",
        registered_model="catsdogs",
        subject="picture",
        stages=(
            Stage(name="head", epochs=5, trainable="head", lr=3e-3, views=5),
            Stage(name="last-stage", epochs=5, trainable="last", lr=5e-4, backbone_lr=5e-5),
        ),
        augment=AugmentConfig(rotation_degrees=10, crop_area=(0.7, 1.0), flip=True, brightness=0.1, contrast=0.1),
        batch_size=16,
        floors=FLOORS,
    )


def mobilenetv2_catsdogs() -> TrainConfig:
    """MobileNetV2 on pictures of its own size: it knows cats and dogs, so its last blocks move less."""
    flowers = mobilenetv2_flowers()
    head, last = flowers.stages
    last = last.model_copy(update={"epochs": 8, "trainable": "last", "backbone_lr": 5e-5})
    return flowers.replace(
        name="mobilenetv2_catsdogs",
        registered_model="catsdogs",
        input=InputConfig(),
        stages=(head, last),
        ema_decay=0.0,
        patience=8,
    )


def folder_cnn() -> TrainConfig:
    """Two convolutions from random weights, for any tree of class folders."""
    return TrainConfig(
        name="folder_cnn",
        architecture="folder_cnn",
        registered_model="pictures",
        subject="picture",
        input=InputConfig(size=128, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
        stages=(
            Stage(
                name="everything",
                epochs=3,
                trainable="all",
                lr=1e-3,
                optimizer="adam",
                schedule="constant",
                weight_decay=0,
            ),
        ),
        batch_size=8,
        pretrained=False,
        floors=Floors(macro_auroc_lower=0.5),
    )
