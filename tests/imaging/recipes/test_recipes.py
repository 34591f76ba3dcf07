import pytest

from imaging.config import TrainConfig
from imaging.errors import NotFoundError
from imaging.models import check_input_size
from imaging.recipes import RECIPES, get_recipe


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
