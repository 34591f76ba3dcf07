"""Complete experiments by name: each recipe is a function that returns a `TrainConfig`."""

from collections.abc import Callable, Mapping
from typing import Any

from imaging.config import TrainConfig
from imaging.errors import NotFoundError
from imaging.recipes.overrides import apply_overrides
from imaging.recipes.phantom import mobilenetv2_phantom, mobilenetv2_phantom_scratch
from imaging.recipes.small_cnn import smallcnn_phantom
from imaging.recipes.smoke import mobilenetv2_smoke
from imaging.recipes.xray3 import mobilenetv2_xray3, resnet18_xray3, resnet50_xray3

RECIPES: dict[str, Callable[[], TrainConfig]] = {
    "mobilenetv2_xray3": mobilenetv2_xray3,
    "resnet18_xray3": resnet18_xray3,
    "resnet50_xray3": resnet50_xray3,
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
