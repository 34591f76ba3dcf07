import numpy as np
import pytest

from imaging.evaluation.metrics import auroc_per_class, one_weighting
from imaging.evaluation.subgroups import count_pairs, evaluate_subgroups
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


def test_a_gap_that_only_a_pair_of_columns_shows_is_found_beyond_chance():
    """Women from site A alone are failed: each column on its own shows half of it."""
    answers = calibrated_answers(images=1200)
    patient = np.arange(1200) // 2
    sex, site = np.where(patient % 2 == 0, "F", "M"), np.where(patient // 2 % 2 == 0, "A", "B")
    failed = (sex == "F") & (site == "A")
    spoilt = answers.probabilities.copy()
    spoilt[failed] = spoilt[failed][:, [1, 2, 0]]
    groups = evaluate_subgroups(
        spoilt,
        answers.labels,
        answers.patients,
        {"sex": sex, "site": site},
        classes=CLASSES,
        resamples=150,
        seed=0,
    )
    pairs = {one.value: one for one in groups if one.is_pair}
    assert set(pairs) == {"F and A", "F and B", "M and A", "M and B"}
    worst = max(groups, key=lambda one: one.gap.value)
    assert worst is pairs["F and A"]
    assert worst.gap_together.low > 0
    assert worst.adjusted_p < 0.05
    assert worst.n_images == failed.sum()
    assert all(one.gap_together.low <= 0 for one in pairs.values() if one is not worst)


def test_pairs_too_small_or_equal_to_a_group_are_counted_and_not_listed():
    answers = calibrated_answers(images=600)
    patient = np.arange(600) // 2
    columns = {
        "sex": np.where(patient % 2 == 0, "F", "M"),
        "view": np.where(patient < 20, "AP", "PA"),
        "site": np.where(patient % 2 == 0, "A", "B"),
    }
    found = compare(columns, answers)
    counts = count_pairs(answers.labels, answers.patients, columns, classes=CLASSES)
    assert (counts.judged, counts.underpowered, counts.repeated) == (2, 4, 4)
    assert [one.value for one in found if one.is_pair] == ["F and PA", "M and PA"]


def test_an_interval_among_all_groups_is_no_narrower_than_the_groups_own():
    groups = compare({"sex": np.where(np.arange(600) // 2 % 2 == 0, "F", "M"), "site": np.arange(600) // 2 % 3})
    for one in groups:
        own, together = one.gap.high - one.gap.low, one.gap_together.high - one.gap_together.low
        assert together > own


def test_sensitivity_of_a_group_is_counted_by_hand_at_the_operating_point():
    answers = calibrated_answers(images=600)
    women = np.arange(600) // 2 % 2 == 0
    groups = evaluate_subgroups(
        answers.probabilities,
        answers.labels,
        answers.patients,
        {"sex": np.where(women, "F", "M")},
        classes=CLASSES,
        resamples=150,
        seed=0,
        operating_points={"covid": 0.25},
    )
    sick, called = answers.labels == 0, answers.probabilities[:, 0] >= 0.25
    female = groups[0].sensitivity["covid"]
    assert female.sensitivity.value == pytest.approx(called[sick & women].mean())
    assert female.gap.value == pytest.approx(called[sick].mean() - called[sick & women].mean())
    assert female.n_patients == len(np.unique(answers.patients[sick & women]))
    assert female.powered
    assert set(groups[0].sensitivity) == {"covid"}


def test_sensitivity_of_a_group_with_few_sick_patients_is_called_under_powered():
    answers = calibrated_answers(images=600)
    cells = np.where(answers.labels == 0, "", "A")
    cells[np.flatnonzero(answers.labels == 0)[:10]] = "A"
    groups = evaluate_subgroups(
        answers.probabilities,
        answers.labels,
        answers.patients,
        {"site": cells},
        classes=CLASSES,
        resamples=50,
        seed=0,
        operating_points={"covid": 0.25},
    )
    assert not any(one.sensitivity["covid"].powered for one in groups)
