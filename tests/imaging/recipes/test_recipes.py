import pytest

from imaging.config import TrainConfig
from imaging.errors import ConfigurationError, NotFoundError
from imaging.models import check_input_size
from imaging.recipes import RECIPES, changed_recipe, get_recipe


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_a_complete_experiment_of_its_name(name: str) -> None:
    recipe = get_recipe(name)
    assert recipe.name == name
    check_input_size(recipe.architecture, recipe.input.size)
    assert TrainConfig.model_validate_json(recipe.model_dump_json()) == recipe
    assert recipe.digest == get_recipe(name).digest


def test_no_two_recipes_are_the_same_experiment() -> None:
    assert len({get_recipe(name).digest for name in RECIPES}) == len(RECIPES)


def test_an_unknown_recipe_is_told_which_there_are() -> None:
    with pytest.raises(NotFoundError, match=r"no recipe 'foo'; there are: mobilenetv2_xray3, "):
        get_recipe("foo")


def test_a_run_may_change_what_is_trained() -> None:
    changed = changed_recipe("mobilenetv2_smoke", {"batch_size": 3})
    assert changed == get_recipe("mobilenetv2_smoke").replace(batch_size=3)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            {"floors": {"sensitivity_lower": {}}},
            "floors is not a run's to set, gates would be passed by",
        ),
        ({"batch_size": 3, "name": "resnet50_xray3"}, "name is not a run's to set"),
        ({"batch_size": 0}, "batch_size: "),
        ({"speed": 1}, "speed: "),
    ],
)
def test_a_run_may_not_change_floors_or_name_nor_what_is_no_field(overrides: dict, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        changed_recipe("mobilenetv2_smoke", overrides)
