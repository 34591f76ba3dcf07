import numpy as np
import pytest

from imaging.evaluation.champion import compare_closely
from imaging.evaluation.evaluate import Answers, compare_with_champion
from tests.imaging.evaluation.factories import POINTS, calibrated_answers


@pytest.fixture(scope="module")
def answers() -> Answers:
    return calibrated_answers(images=600, resamples=150)


def sexes(count: int) -> dict[str, np.ndarray]:
    return {"sex": np.where(np.arange(count) // 2 % 2 == 0, "F", "M"), "view": np.full(count, "PA")}


def test_a_group_in_which_the_challenger_is_worse_is_found_beyond_chance(answers):
    hidden = sexes(600)["sex"] == "F"
    spoilt = answers.probabilities.copy()
    spoilt[hidden] = spoilt[hidden][:, [1, 2, 0]]
    worse = Answers(
        before=spoilt,
        probabilities=spoilt,
        labels=answers.labels,
        patients=answers.patients,
        classes=answers.classes,
        operating_points=POINTS,
        resamples=150,
    )
    groups = {
        one.value: one for one in compare_closely(worse, answers.probabilities, points={}, columns=sexes(600))["groups"]
    }
    assert groups["F"].delta_together.high < 0
    assert groups["M"].delta.value == 0
    assert groups["F"].powered


def test_the_same_model_wins_and_loses_nothing(answers):
    closer = compare_closely(answers, answers.probabilities, points=POINTS, columns=sexes(600))
    assert all((one.images_won, one.images_lost, one.p) == (0, 0, None) for one in closer["calls"])
    assert all(one.delta.value == 0 for one in closer["groups"])


def test_calls_are_counted_by_class_at_each_models_own_point(answers):
    closer = compare_closely(answers, answers.probabilities, points={"covid": 0.6}, columns={})
    overall, sick, well = closer["calls"]
    assert (overall.calls, overall.among, overall.n_images) == ("most probable class", "all", 600)
    scores, truth = answers.probabilities[:, 0], answers.labels == 0
    between = (scores >= POINTS["covid"]) & (scores < 0.6)
    assert (sick.calls, sick.among) == ("covid", "with it")
    assert (sick.images_won, sick.images_lost) == ((between & truth).sum(), 0)
    assert (well.images_won, well.images_lost) == (0, (between & ~truth).sum())
    assert closer["groups"] == ()


def test_a_group_too_small_is_compared_and_called_under_powered(answers):
    cells = np.where(np.arange(600) < 40, "A", "B")
    small, large = compare_closely(answers, answers.before, points={}, columns={"site": cells})["groups"]
    assert not small.powered
    assert "20 patients" in small.note
    assert small.delta_together.value is None
    assert large.powered


def test_the_whole_and_a_group_of_everybody_show_the_same_difference(answers):
    (everybody,) = compare_closely(answers, answers.before, points={}, columns={"view": np.full(600, "PA")})["groups"]
    assert everybody.delta == compare_with_champion(answers, answers.before, digest="sha256:c").delta_macro_auroc
