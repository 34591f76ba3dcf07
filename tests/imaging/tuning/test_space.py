import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imaging.errors import ConfigurationError, NotFoundError
from imaging.recipes import changed_recipe
from imaging.tuning.proposals import propose
from imaging.tuning.space import Choice, Real, Whole, check_space, combined, described, parse_fields, parse_space

RECIPE = "mobilenetv2_smoke"
SHARES = st.floats(0, 1)


def check(*texts: str, metric: str = "val_macro_auroc", **overrides) -> None:
    check_space(RECIPE, parse_space(texts), overrides=overrides, metric=metric)


def test_a_space_is_read_from_texts_and_from_yaml_alike(tmp_path: Path) -> None:
    file = tmp_path / "space.yaml"
    file.write_text(
        "stages.0.lr: log(1e-4, 1e-1)\nbatch_size: choice(8, 16)\naugment.rotation_degrees: uniform(0,20)\n"
    )
    texts = ["stages.0.lr=log(1e-4,1e-1); batch_size=choice(8,16)", "augment.rotation_degrees=uniform(0,20)"]

    assert parse_space([str(file)]) == parse_space(texts)
    assert parse_space(texts) == {
        "stages.0.lr": Real(low=1e-4, high=1e-1, log=True),
        "batch_size": Choice(options=("8", "16")),
        "augment.rotation_degrees": Real(low=0.0, high=20.0),
    }


def test_a_choice_may_be_of_words_lists_or_truth_values() -> None:
    space = parse_space(
        ["stages.0.schedule=choice(cosine,one_cycle)", "augment.scale=choice([0.9,1.1],[1,1])", "x=choice(true,false)"]
    )
    assert [dimension.at(0.9) for dimension in space.values()] == ["one_cycle", [1, 1], False]


def test_a_described_space_is_read_as_the_same_space() -> None:
    space = parse_space(
        ["a=log(1e-4,1e-1)", "b=int(1,9,2)", "c=choice(8,16)", "d=uniform(0,0.123456789)", 'e=choice("x","y")']
    )
    assert parse_fields(described(space)) == space


@given(share=SHARES, low=st.floats(1e-6, 1), factor=st.floats(1.001, 1e4), log=st.booleans())
def test_every_share_of_a_range_is_inside_it(share: float, low: float, factor: float, log: bool) -> None:
    dimension = Real(low=low, high=low * factor, log=log)
    assert low <= dimension.at(share) <= low * factor
    assert (dimension.at(0.0), dimension.at(1.0)) == (pytest.approx(low), pytest.approx(low * factor))


@given(share=SHARES, low=st.integers(-9, 9), width=st.integers(1, 40), step=st.integers(1, 7))
def test_every_share_of_whole_numbers_is_one_of_its_steps(share: float, low: int, width: int, step: int) -> None:
    dimension = Whole(low=low, high=low + width, step=step)
    found = dimension.at(share)
    assert low <= found <= low + width
    assert (found - low) % step == 0
    assert dimension.distribution()._contains(dimension.distribution().to_internal_repr(found))


def test_the_middle_of_a_logarithmic_range_is_the_geometric_mean() -> None:
    assert Real(low=1e-4, high=1e-2, log=True).at(0.5) == pytest.approx(math.sqrt(1e-4 * 1e-2))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("batch_size=int(16,8)", "the range of batch_size is empty"),
        ("dropout=uniform(0.5,0.5)", "the range of dropout is empty"),
        ("stages.0.lr=log(0,1)", "above 0"),
        ("stages.0.lr=log(1e-4)", "two bounds"),
        ("stages.0.lr=log(a,b)", "expected numbers"),
        ("stages.0.lr=log(1e-4,inf)", "finite"),
        ("batch_size=choice(8)", "at least two different"),
        ("batch_size=choice(8,8)", "at least two different"),
        ("batch_size=int(1.5,8)", "whole numbers"),
        ("batch_size=normal(0,1)", "log\\(low,high\\)"),
        ("batch_size", "field=term"),
        ("batch_size=int(8,16); batch_size=int(8,32)", "more often"),
        ("", "at least one field"),
    ],
)
def test_a_term_that_is_none_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        parse_space([text])


def test_a_space_file_that_is_not_there_or_no_mapping_is_refused(tmp_path: Path) -> None:
    (tmp_path / "list.yaml").write_text("- 1\n")
    with pytest.raises(NotFoundError, match=r"none\.yaml"):
        parse_space([str(tmp_path / "none.yaml")])
    with pytest.raises(ConfigurationError, match=r"lines in list\.yaml"):
        parse_space([str(tmp_path / "list.yaml")])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stages.0.rate=log(1e-4,1e-1)", "no field 'rate'"),
        ("stages.7.lr=log(1e-4,1e-1)", "no number '7'"),
        ("batch_size=int(0,8)", "greater than or equal to 1"),
        ("batch_size=uniform(8,16)", "integer"),
        ("augment.flip=choice(true,false)", "cannot be mirrored"),
        ("floors.macro_auroc_lower=uniform(0.5,0.9)", "asking for less"),
        ("name=choice(a,b)", "which recipe made it"),
        ("seed=int(0,9)", "luckiest"),
        ("monitor=choice(val_loss,val_accuracy)", "different figures"),
        ("input.size=choice(8,64)", "at least 32 px"),
        ("stages.0=choice(1,2); stages.0.lr=log(1e-4,1e-1)", "leave one out"),
    ],
)
def test_a_field_that_cannot_be_searched_is_refused_before_anything_trains(text: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        check(text)


def test_a_field_that_is_set_may_not_be_searched_but_one_inside_it_may() -> None:
    with pytest.raises(ConfigurationError, match="leave one out"):
        check("batch_size=choice(8,16)", batch_size=4)
    stages = changed_recipe(RECIPE, {}).model_dump(mode="json")["stages"]
    check("stages.0.lr=log(1e-4,1e-1)", stages=stages)


def test_trials_with_different_losses_are_not_compared_by_the_loss() -> None:
    with pytest.raises(ConfigurationError, match="changes what val_loss is"):
        check("loss=choice(cross_entropy,focal)", metric="val_loss")
    check("loss=choice(cross_entropy,focal)")


def test_an_unknown_figure_is_refused_with_those_there_are() -> None:
    with pytest.raises(ConfigurationError, match="there are: val_loss"):
        check("batch_size=choice(8,16)", metric="test_accuracy")


def test_fields_hold_over_the_parts_that_they_are_inside_of() -> None:
    assert list(combined({"a.b": 1, "a": 2}, {"c": 3})) == ["a", "c", "a.b"]


@given(trials=st.integers(1, 30), seed=st.integers(0, 99))
def test_proposals_are_different_reproducible_and_valid(trials: int, seed: int) -> None:
    space = parse_space(["stages.0.lr=log(1e-4,1e-1)", "batch_size=choice(8,16)", "stages.1.epochs=int(1,3)"])
    found = propose(space, trials=trials, seed=seed)
    assert len({json.dumps(point) for point in found}) == trials
    assert found == propose(space, trials=trials, seed=seed)
    for point in found:
        assert changed_recipe(RECIPE, point).stages[0].lr == point["stages.0.lr"]


def test_proposals_try_every_stretch_of_a_range_once() -> None:
    found = propose(parse_space(["dropout=uniform(0,0.8)"]), trials=8, seed=3)
    assert sorted(int(point["dropout"] * 10) for point in found) == list(range(8))


def test_a_space_with_fewer_settings_than_trials_gives_each_once() -> None:
    assert len(propose(parse_space(["batch_size=choice(8,16)"]), trials=50)) == 2


@pytest.mark.parametrize("trials", [0, 1001])
def test_a_number_of_proposals_that_cannot_be_is_refused(trials: int) -> None:
    with pytest.raises(ConfigurationError, match="1 to 1000"):
        propose(parse_space(["batch_size=choice(8,16)"]), trials=trials)
