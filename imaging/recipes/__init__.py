"""Complete experiments by name: each recipe is a function that returns a `TrainConfig`."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from imaging.config import TrainConfig
from imaging.errors import NotFoundError
from imaging.recipes.cifar10 import (
    cnn_cifar10,
    googlenet_cifar10,
    googlenet_cifar10_long,
    resnet20_cifar10,
    resnet56_cifar10,
)
from imaging.recipes.mnist import cnn_mnist, cnn_mnist_valid, lenet5_mnist, lenet5_mnist_28, lenet5_mnist_quick
from imaging.recipes.overrides import apply_overrides
from imaging.recipes.phantom import mobilenetv2_phantom, mobilenetv2_phantom_scratch
from imaging.recipes.pictures import (
    folder_cnn,
    mobilenetv2_catsdogs,
    mobilenetv2_flowers,
    resnet18_catsdogs,
    vgg16_flowers,
)
from imaging.recipes.result_tables import read_table
from imaging.recipes.small_cnn import smallcnn_phantom
from imaging.recipes.smoke import mobilenetv2_smoke
from imaging.recipes.two_class_xray import densenet121_pneumonia, resnet50_abnormal, resnet50_pneumonia
from imaging.recipes.xray3 import mobilenetv2_xray3, resnet18_xray3, resnet50_xray3, resnet50_xray3_pooled

RECIPES: dict[str, Callable[[], TrainConfig]] = {
    "mobilenetv2_xray3": mobilenetv2_xray3,
    "resnet18_xray3": resnet18_xray3,
    "resnet50_xray3": resnet50_xray3,
    "resnet50_xray3_pooled": resnet50_xray3_pooled,
    "densenet121_pneumonia": densenet121_pneumonia,
    "resnet50_pneumonia": resnet50_pneumonia,
    "resnet50_abnormal": resnet50_abnormal,
    "lenet5_mnist": lenet5_mnist,
    "lenet5_mnist_28": lenet5_mnist_28,
    "lenet5_mnist_quick": lenet5_mnist_quick,
    "cnn_mnist": cnn_mnist,
    "cnn_mnist_valid": cnn_mnist_valid,
    "cnn_cifar10": cnn_cifar10,
    "googlenet_cifar10": googlenet_cifar10,
    "googlenet_cifar10_long": googlenet_cifar10_long,
    "resnet20_cifar10": resnet20_cifar10,
    "resnet56_cifar10": resnet56_cifar10,
    "vgg16_flowers": vgg16_flowers,
    "mobilenetv2_flowers": mobilenetv2_flowers,
    "resnet18_catsdogs": resnet18_catsdogs,
    "mobilenetv2_catsdogs": mobilenetv2_catsdogs,
    "folder_cnn": folder_cnn,
    "mobilenetv2_phantom": mobilenetv2_phantom,
    "mobilenetv2_phantom_scratch": mobilenetv2_phantom_scratch,
    "smallcnn_phantom": smallcnn_phantom,
    "mobilenetv2_smoke": mobilenetv2_smoke,
}


def get_recipe(name: str) -> TrainConfig:
    """Return the recipe called `name`.

    Raises:
        NotFoundError: when there is none; the message lists what there is.
    """
    if name not in RECIPES:
        raise NotFoundError(f"no recipe {name!r}; there are: {', '.join(RECIPES)}")
    return RECIPES[name]()


def measured_rows() -> dict[str, dict[str, str]]:
    """Return what the table at the top of each recipe's file says of it: by recipe, filled cells by column."""
    tables = {recipe.__module__: read_table(inspect.getmodule(recipe).__doc__ or "") for recipe in RECIPES.values()}
    return {name: tables[recipe.__module__].get(name, {}) for name, recipe in RECIPES.items()}


def changed_recipe(name: str, overrides: Mapping[str, Any]) -> TrainConfig:
    """Return the recipe called `name` with fields changed for one run.

    Args:
        name: A name from `RECIPES`.
        overrides: TrainConfig fields and their new values; dots name a field inside another (`input.size`).

    Raises:
        ConfigurationError: for a field that is unknown, out of range, or not a run's to change.
        NotFoundError: when there is no such recipe.
    """
    return apply_overrides(get_recipe(name), overrides)
