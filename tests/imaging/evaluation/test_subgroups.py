import numpy as np
import pytest

from imaging.evaluation.metrics import auroc_per_class, one_weighting
from imaging.evaluation.subgroups import evaluate_subgroups
from tests.imaging.evaluation.factories import CLASSES, calibrated_answers


def compare(columns, answers=None):
    one = answers or calibrated_answers(images=600)
    return evaluate_subgroups(
        one.probabilities, one.labels, one.patients, columns, classes=CLASSES, resamples=150, seed=0
    )


def test_a_group_the_model_fails_shows_a_gap_beyond_chance():
    answers = calibrated_answers(images=600)
    hidden = np.arange(600) // 2 % 2 == 0
    spoilt = answers.probabilities.copy()
    spoilt[hidden] = spoilt[hidden][:, [1, 2, 0]]
    groups = evaluate_subgroups(
        spoilt,
        answers.labels,
        answers.patients,
        {"sex": np.where(hidden, "F", "M")},
        classes=CLASSES,
        resamples=150,
        seed=0,
    )
    female, male = groups
    assert female.powered
    assert female.gap.value > 0.05
    assert female.gap.low > 0
    assert male.gap.high < 0


def test_the_figure_of_a_group_is_that_of_its_images_alone():
    answers = calibrated_answers(images=600)
    mask = np.arange(600) < 300
    first = compare({"site": np.where(mask, "A", "B")})[0]
    alone = auroc_per_class(answers.probabilities[mask], answers.labels[mask], one_weighting(300)).mean()
    assert first.macro_auroc.value == pytest.approx(alone)
    assert first.n_images == 300
    assert first.n_patients == 150


def test_a_group_of_everybody_has_no_gap():
    (everybody,) = compare({"site": np.full(600, "A")})
    assert (everybody.gap.low, everybody.gap.value, everybody.gap.high) == (0, 0, 0)
    assert everybody.powered


@pytest.mark.parametrize(
    ("value", "rows", "said"),
    [("", 200, "not recorded"), ("F", 58, "29 patients, 30 needed"), ("F", 60, "")],
)
def test_a_group_too_small_or_not_recorded_is_reported_and_not_judged(value, rows, said):
    cells = np.where(np.arange(600) < rows, value, "other")
    (group,) = (one for one in compare({"sex": cells}) if one.value == (value or "not recorded"))
    assert said in group.note
    assert group.powered == (not said)


def test_a_group_without_a_class_is_not_judged_and_has_no_figure():
    answers = calibrated_answers(images=600)
    cells = np.where(answers.labels == 0, "only covid", "the rest")
    groups = compare({"site": cells}, answers)
    assert [one.powered for one in groups] == [False, False]
    assert groups[0].macro_auroc.value is None
    assert "0 normal" in groups[0].note


def test_a_group_is_held_against_those_whose_value_is_recorded():
    """Easy patients whose sex nobody wrote down must not make men and women look worse than they are."""
    answers = calibrated_answers(images=600)
    unknown = np.arange(600) < 200
    flattered = answers.probabilities.copy()
    flattered[unknown] = np.eye(len(CLASSES))[answers.labels[unknown]]
    cells = np.where(unknown, "", np.where(np.arange(600) // 2 % 2 == 0, "F", "M"))
    groups = evaluate_subgroups(
        flattered, answers.labels, answers.patients, {"sex": cells}, classes=CLASSES, resamples=150, seed=0
    )
    known = {group.value: group.gap.value for group in groups if group.powered}
    assert set(known) == {"F", "M"}
    assert min(known.values()) <= 0 <= max(known.values())


def test_a_column_that_nobody_filled_in_is_shown_without_a_verdict():
    (group,) = compare({"site": np.full(600, "")})
    assert not group.powered
    assert group.gap.value is None
