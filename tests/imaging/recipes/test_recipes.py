import pytest

from imaging.config import TrainConfig
from imaging.errors import ConfigurationError, NotFoundError
from imaging.models import check_input_size
from imaging.models.weights import check_input
from imaging.recipes import RECIPES, changed_recipe, get_recipe, measured_rows
from imaging.recipes.result_tables import read_table


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


def test_measured_rows_are_read_from_the_tables_and_every_recipe_has_one() -> None:
    rows = measured_rows()
    assert rows.keys() == RECIPES.keys()
    assert all(rows[name] for name in RECIPES if name != "mobilenetv2_smoke")
    assert rows["mobilenetv2_xray3"]["test balanced accuracy"].startswith("0.")


def test_a_table_gives_its_filled_cells() -> None:
    text = "Words.\n\n| recipe | accuracy | time |\n|---|---|---|\n| a | 0.9 | 3 s |\n| b | not measured yet | |\n"
    assert read_table(text) == {"a": {"accuracy": "0.9", "time": "3 s"}, "b": {"accuracy": "not measured yet"}}
    assert read_table("no table") == {}


@pytest.mark.parametrize("name", [name for name in RECIPES if get_recipe(name).pretrained])
def test_a_recipe_feeds_its_weights_what_they_expect(name: str) -> None:
    """And would be refused with other grey values than theirs."""
    recipe = get_recipe(name)
    check_input(recipe.architecture, recipe.input)
    with pytest.raises(ConfigurationError):
        check_input(recipe.architecture, recipe.input.model_copy(update={"mean": (0.9, 0.9, 0.9)}))


def test_only_chest_x_rays_of_three_classes_are_what_is_served() -> None:
    served = {name for name in RECIPES if get_recipe(name).registered_model == "chest-xray"}
    assert all(name.rpartition("_")[2] in ("xray3", "pooled", "phantom", "scratch", "smoke") for name in served)
    assert all(get_recipe(name).subject == "radiograph" for name in served)
