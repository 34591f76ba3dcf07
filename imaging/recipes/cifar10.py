"""Recipes for the ten kinds of small pictures of CIFAR-10.

| recipe                 | test accuracy                | hardware, time of training |
|------------------------|------------------------------|----------------------------|
| cnn_cifar10            | 65.1 % (63.0-67.2), 1 seed   | 33 s, two Zen 3 cores      |
| googlenet_cifar10      | not measured yet             |                            |
| googlenet_cifar10_long | not measured yet             |                            |
| resnet20_cifar10       | 87.6 % (86.1-89.1), 1 seed   | 135 s, two Zen 3 cores     |
| resnet56_cifar10       | 88.1 % (86.6-89.5), 1 seed   | 382 s, two Zen 3 cores     |

Measured by `benchmarks/bench_transfer.py` on a fifth of CIFAR-10: 10,000 training and 2,000 test pictures that went
through JPEG, the ResNets from weights trained on all of it. Such pictures cost a network of the whole set about ten
points; nothing here has been measured on the whole set.

Sources: Krizhevsky 2009, "Learning multiple layers of features from tiny images"; Szegedy et al. 2015, "Going deeper
with convolutions", section 5 for auxiliary heads at 0.3; He et al. 2016, "Deep residual learning for image
recognition", section 4.2 for the crop from a border of four pixels, the flip, and the decay and momentum of the long
schedule; DeVries and Taylor 2017, "Improved regularization of convolutional neural networks with cutout".
"""

from imaging.config import AugmentConfig, Floors, InputConfig, Stage, TrainConfig

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
"""Of the training pictures, by channel."""
CROP_AND_FLIP = AugmentConfig(crop_padding=4, flip=True)
FLOORS = Floors(macro_auroc_lower=0.9)


def cnn_cifar10() -> TrainConfig:
    """Three convolutions of 32, 64 and 128 maps and 128 units."""
    return TrainConfig(
        name="cnn_cifar10",
        architecture="cnn_cifar10",
        registered_model="cifar10",
        subject="picture",
        input=InputConfig(size=32, mean=MEAN, std=STD),
        stages=(
            Stage(
                name="everything",
                epochs=10,
                trainable="all",
                lr=2e-3,
                optimizer="adam",
                schedule="one_cycle",
                weight_decay=0,
            ),
        ),
        augment=AugmentConfig(crop_padding=2, flip=True),
        batch_size=64,
        pretrained=False,
        dropout=0.3,
        class_weights=False,
        patience=10,
        floors=FLOORS,
    )


def googlenet_cifar10() -> TrainConfig:
    """GoogLeNet with a stem for small pictures and both auxiliary heads, in ten epochs."""
    return TrainConfig(
        name="googlenet_cifar10",
        architecture="googlenet_cifar",
        registered_model="cifar10",
        subject="picture",
        input=InputConfig(size=32, mean=MEAN, std=STD),
        stages=(
            Stage(
                name="everything",
                epochs=10,
                trainable="all",
                lr=1e-3,
                optimizer="adam",
                schedule="one_cycle",
                weight_decay=0,
            ),
        ),
        augment=CROP_AND_FLIP,
        batch_size=128,
        pretrained=False,
        dropout=0.4,
        auxiliary_weight=0.3,
        class_weights=False,
        monitor="val_accuracy",
        patience=10,
        floors=FLOORS,
    )


def googlenet_cifar10_long() -> TrainConfig:
    """The same network by momentum and cosine, until it knows no better."""
    epochs = 150
    return googlenet_cifar10().replace(
        name="googlenet_cifar10_long",
        stages=(
            Stage(
                name="everything",
                epochs=epochs,
                trainable="all",
                lr=0.1,
                optimizer="sgd",
                schedule="cosine",
                warmup=0.03,
                weight_decay=5e-4,
            ),
        ),
        augment=AugmentConfig(crop_padding=4, flip=True, cutout=0.25),
        patience=epochs,
    )


def resnet20_cifar10() -> TrainConfig:
    """ResNet-20 from weights that others trained: a new head, then everything gently.

    Those weights were trained with ImageNet's mean and deviation, not CIFAR-10's own.
    """
    return TrainConfig(
        name="resnet20_cifar10",
        architecture="resnet20_cifar",
        registered_model="cifar10",
        subject="picture",
        input=InputConfig(size=32),
        stages=(
            Stage(name="head", epochs=5, trainable="head", lr=5e-3, augment=False),
            Stage(
                name="everything",
                epochs=10,
                trainable="all",
                lr=1e-2,
                optimizer="sgd",
                schedule="cosine",
                warmup=0.1,
                weight_decay=5e-4,
            ),
        ),
        augment=CROP_AND_FLIP,
        batch_size=128,
        dropout=0.0,
        class_weights=False,
        patience=10,
        floors=FLOORS,
    )


def resnet56_cifar10() -> TrainConfig:
    """ResNet-56, trained as the ResNet-20 is."""
    return resnet20_cifar10().replace(name="resnet56_cifar10", architecture="resnet56_cifar")
