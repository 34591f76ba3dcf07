import pytest

from imaging.errors import ConfigurationError
from imaging.recipes import get_recipe
from imaging.recipes.overrides import apply_overrides, parse_overrides

RECIPE = get_recipe("mobilenetv2_smoke")


def changed(*texts: str):
    return apply_overrides(RECIPE, parse_overrides(texts))


def test_values_are_read_as_json_or_text() -> None:
    assert parse_overrides(
        ["batch_size=4", "pretrained=false", 'input={"size":64}', "architecture=resnet18", "a=b=c"]
    ) == {
        "batch_size": 4,
        "pretrained": False,
        "input": {"size": 64},
        "architecture": "resnet18",
        "a": "b=c",
    }


def test_a_dotted_field_leaves_its_neighbours_as_they_are() -> None:
    recipe = changed("input.size=64", "input.channels=1", "stages.1.epochs=3", "augment.flip=false")
    assert recipe.input == RECIPE.input.model_copy(update={"size": 64, "channels": 1})
    assert recipe.stages[0] == RECIPE.stages[0]
    assert recipe.stages[1] == RECIPE.stages[1].model_copy(update={"epochs": 3})
    assert recipe.augment == RECIPE.augment


def test_changes_are_judged_together_whatever_their_order() -> None:
    assert changed("augment.flip=true", "subject=picture").augment.flip


def test_a_field_inside_a_part_that_is_replaced_too_is_kept_whatever_their_order() -> None:
    stage = {"name": "all", "epochs": 1, "trainable": "all", "lr": 1e-3}
    config = get_recipe("mobilenetv2_smoke")
    changed = apply_overrides(config, {"stages.0.lr": 0.5, "stages": [stage]})
    assert changed.stages[0].lr == 0.5
    assert changed.stages[0].epochs == 1


def test_nothing_to_change_gives_the_recipe_itself() -> None:
    assert changed() == RECIPE


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("batch_size", "expected key=value after --set, got 'batch_size'"),
        ("=3", "expected key=value"),
        ("speed=1", "speed: no field 'speed' in a recipe; there are: name, architecture"),
        ("input.sise=64", "input.sise: no field 'sise' in input; there are: size, channels"),
        ("stages.2.epochs=1", "no number '2' in stages; there are: 0 to 1"),
        ("stages.head.epochs=1", "no number 'head' in stages; there are: 0 to 1"),
        ("batch_size.small=1", "batch_size is a value and has no fields"),
        ("input.size=3", "input.size: input should be greater than or equal to 8"),
        ("stages.0.epochs=0", r"stages\.0\.epochs: "),
        ("augment.flip=true", "a radiograph cannot be mirrored"),
        ("floors.macro_auroc_lower=0.5", "floors is not a run's to set"),
        ("name=mine", "name is not a run's to set"),
    ],
)
def test_a_change_that_cannot_be_is_refused_with_what_can(text: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        changed(text)
