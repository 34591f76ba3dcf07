import json

import pytest
import yaml
from typer.testing import CliRunner, Result

from imaging.config import TrainConfig
from imaging.errors import NotFoundError
from imaging.recipes import RECIPES, get_recipe, measured_rows
from thorax.cli import app


def call(*words: str) -> Result:
    return CliRunner().invoke(app, ["recipes", *words])


def test_every_recipe_is_listed_with_what_was_measured_of_it() -> None:
    rows = json.loads(call("list", "--json").stdout)
    assert [row["name"] for row in rows] == list(RECIPES)
    for row in rows:
        config = get_recipe(row["name"])
        assert row["architecture"] == config.architecture
        assert list(row["stages"]) == [stage.name for stage in config.stages]
        assert row["measured"] == measured_rows().get(row["name"], {})


def test_the_list_for_people_says_what_each_is_for_and_what_is_not_measured_yet(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    lines = {line.split()[0]: line for line in call("list").stdout.splitlines()}
    assert set(RECIPES) <= lines.keys()
    for name, row in measured_rows().items():
        assert all(value in lines[name] for value in row.values() or ["not measured yet"])
    assert "chest X-rays, 3 classes" in lines["mobilenetv2_xray3"]


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_shown_whole(name: str) -> None:
    shown = call("show", name).stdout
    assert TrainConfig.model_validate(yaml.safe_load(shown)) == get_recipe(name)
    assert shown.startswith("# ")
    assert TrainConfig.model_validate(json.loads(call("show", name, "--json").stdout)["config"]) == get_recipe(name)


def test_an_unknown_recipe_is_told_which_there_are() -> None:
    error = call("show", "nobody").exception
    assert isinstance(error, NotFoundError)
    assert "mobilenetv2_smoke" in str(error)
