"""Recipes for the handwritten digits of MNIST.

| recipe          | test accuracy (mean +- std, n seeds) | hardware, time of training |
|-----------------|--------------------------------------|----------------------------|
| lenet5_mnist    | not measured yet                     |                            |
| lenet5_mnist_quick | not measured yet |  |
| lenet5_mnist_28 | not measured yet                     |                            |
| cnn_mnist       | not measured yet                     |                            |
| cnn_mnist_valid | not measured yet                     |                            |

Sources: LeCun et al. 1998, "Gradient-based learning applied to document recognition", section II.B, for LeNet-5 and
the border of two pixels; Smith and Topin 2018, "Super-convergence", for one cycle of the rate; Simard et al. 2003,
"Best practices for convolutional neural networks applied to visual document analysis", for small distortions.
"""

from imaging.config import AugmentConfig, Floors, InputConfig, Stage, TrainConfig


def lenet5_mnist() -> TrainConfig:
    """LeNet-5 on digits with a border of two pixels."""
    return TrainConfig(
        name="lenet5_mnist",
        architecture="lenet5",
        registered_model="mnist",
        subject="picture",
        input=InputConfig(size=32, channels=1, mean=(0.5,), std=(0.5,), fit="pad"),
        stages=(
            Stage(
                name="everything",
                epochs=5,
                trainable="all",
                lr=0.1,
                optimizer="sgd",
                schedule="cosine",
                warmup=0.05,
                weight_decay=5e-4,
            ),
        ),
        augment=AugmentConfig(rotation_degrees=8, scale=(0.95, 1.05), shift=0.04),
        batch_size=64,
        pretrained=False,
        class_weights=False,
        floors=Floors(macro_auroc_lower=0.99),
    )


def lenet5_mnist_quick() -> TrainConfig:
    """LeNet-5 to a good accuracy in little time: the images as they are, about their mean, and averaged weights."""
    config = lenet5_mnist()
    stage = config.stages[0].model_copy(update={"epochs": 3, "augment": False})
    centred = config.input.model_copy(update={"mean": (0.1307,), "std": (0.3081,)})
    return config.replace(name="lenet5_mnist_quick", input=centred, stages=(stage,), ema_decay=0.995)


def lenet5_mnist_28() -> TrainConfig:
    """LeNet-5 on digits as they are, with values from 0 to 1."""
    return lenet5_mnist().replace(
        name="lenet5_mnist_28", input=InputConfig(size=28, channels=1, mean=(0.0,), std=(1.0,))
    )


def cnn_mnist() -> TrainConfig:
    """Two convolutions of 32 and 64 maps and 128 units."""
    return lenet5_mnist_28().replace(name="cnn_mnist", architecture="cnn_mnist")


def cnn_mnist_valid() -> TrainConfig:
    """The same without padding."""
    return cnn_mnist().replace(name="cnn_mnist_valid", architecture="cnn_mnist_valid")
