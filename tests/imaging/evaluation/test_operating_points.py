"""Each rule's threshold against every threshold there is, and what the report says of them."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix, roc_curve

from imaging.config import OPERATING_RULES, OperatingRule
from imaging.evaluation.metrics import one_weighting
from imaging.evaluation.operating_points import RULES, Thresholds, choose_operating_points, describe
from imaging.evaluation.operating_rules import at_threshold, measure_rules
from imaging.evaluation.schema import Evaluation
from imaging.models.directory import load_info
from imaging.recipes import RECIPES, changed_recipe, get_recipe
from tests.imaging.evaluation.conftest import Finished
from tests.imaging.evaluation.factories import CLASSES, calibrated_answers

EVERY = np.r_[np.linspace(0, 1.001, 2003)]


def sample(seed: int, count: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Scores with ties, and which images are of the class."""
    rng = np.random.default_rng(seed)
    positive = rng.random(count) < rng.uniform(0.1, 0.9)
    positive[:2] = True, False
    return np.round(np.clip(0.3 * positive + rng.random(count) * 0.7, 0.001, 1), 2), positive


def rates(scores: np.ndarray, positive: np.ndarray, threshold: float) -> tuple[float, float]:
    called = scores >= threshold
    return called[positive].mean(), (~called)[~positive].mean()


@given(st.integers(0, 10_000))
@settings(max_examples=60, deadline=None)
def test_youdens_threshold_is_as_good_as_the_best_of_scikit_learns_curve(seed):
    scores, positive = sample(seed)
    false_alarms, hits, _ = roc_curve(positive, scores, drop_intermediate=False)
    sensitivity, specificity = rates(
        scores, positive, RULES["youden"](Thresholds.of(scores, positive), OperatingRule(), 0)
    )
    assert sensitivity + specificity - 1 == pytest.approx((hits - false_alarms).max())


@given(st.integers(0, 10_000), st.floats(0.05, 0.99))
@settings(max_examples=60, deadline=None)
def test_the_threshold_at_a_specificity_is_the_most_sensitive_of_all_that_keep_it(seed, least):
    scores, positive = sample(seed)
    rule = OperatingRule(specificity=least)
    sensitivity, specificity = rates(
        scores, positive, RULES[kind := "fixed_specificity"](Thresholds.of(scores, positive), rule, 0)
    )
    assert kind in OPERATING_RULES
    calling_somebody = [rates(scores, positive, one) for one in EVERY if one <= scores.max()]
    most = min(least, max(one[1] for one in calling_somebody)) - 1e-9
    assert specificity >= most
    assert sensitivity == pytest.approx(max(one[0] for one in calling_somebody if one[1] >= most))


@given(st.integers(0, 10_000), st.floats(0.1, 50), st.floats(0.01, 0.9))
@settings(max_examples=60, deadline=None)
def test_no_threshold_that_calls_somebody_costs_less_than_the_cheapest(seed, miss_cost, prevalence):
    scores, positive = sample(seed)
    rule = OperatingRule(miss_cost=miss_cost, prevalence=prevalence)

    def cost(threshold: float) -> float:
        sensitivity, specificity = rates(scores, positive, threshold)
        return miss_cost * prevalence * (1 - sensitivity) + (1 - prevalence) * (1 - specificity)

    chosen = RULES["cost"](Thresholds.of(scores, positive), rule, 0)
    assert cost(chosen) == pytest.approx(min(cost(one) for one in EVERY if one <= scores.max()))


@given(st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_dearer_misses_never_raise_the_threshold_nor_does_a_lower_specificity(seed):
    thresholds = Thresholds.of(*sample(seed))
    cheap, dear = (RULES["cost"](thresholds, OperatingRule(miss_cost=one), 0) for one in (1, 20))
    strict, lax = (RULES["fixed_specificity"](thresholds, OperatingRule(specificity=one), 0) for one in (0.95, 0.6))
    assert dear <= cheap
    assert lax <= strict


def test_the_cheapest_threshold_worked_by_hand():
    """Four sick, four well: from 0.35 on one sick is missed and none called in vain, from 0.25 on none and one."""
    scores = np.array([0.9, 0.8, 0.7, 0.3, 0.4, 0.2, 0.1, 0.1])
    thresholds = Thresholds.of(scores, np.arange(8) < 4)
    half = {"prevalence": 0.5}
    assert RULES["cost"](thresholds, OperatingRule(miss_cost=0.5, **half), 0) == pytest.approx(0.55)
    assert RULES["cost"](thresholds, OperatingRule(miss_cost=5, **half), 0) == pytest.approx(0.25)


@pytest.mark.parametrize("scores", [[0.5, 0.5, 0.5, 0.5], [1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0]])
def test_ties_and_perfect_and_perverse_scores_have_a_threshold_by_every_rule(scores):
    thresholds = Thresholds.of(np.array(scores), np.array([True, True, False, False]))
    assert all(0 <= rule(thresholds, OperatingRule(), 0.0) <= 1 for rule in RULES.values())


@given(st.integers(0, 10_000), st.floats(0.05, 0.95))
@settings(max_examples=40, deadline=None)
def test_the_figures_at_a_threshold_are_those_of_the_confusion_matrix(seed, threshold):
    scores, positive = sample(seed)
    found = at_threshold(scores, positive, threshold, one_weighting(len(scores)))
    quiet, false_alarms, misses, hits = confusion_matrix(positive, scores >= threshold).ravel()
    assert found["sensitivity"][0] == pytest.approx(hits / (hits + misses))
    assert found["specificity"][0] == pytest.approx(quiet / (quiet + false_alarms))
    assert found["ppv"][0] == pytest.approx(
        hits / (hits + false_alarms) if hits + false_alarms else np.nan, nan_ok=True
    )
    assert found["npv"][0] == pytest.approx(quiet / (quiet + misses) if quiet + misses else np.nan, nan_ok=True)


def test_the_model_keeps_every_rules_threshold_and_the_report_measures_each(finished: Finished):
    info = load_info(finished.calibrated)
    assert set(info.operating_point_options) == set(info.critical_classes)
    for name, thresholds in info.operating_point_options.items():
        assert set(thresholds) == set(OPERATING_RULES)
        assert info.operating_points[name] == thresholds["youden"]
    evaluation = Evaluation.model_validate_json((finished.evaluation / "evaluation.json").read_text())
    for name, rules in evaluation.operating_rules.classes.items():
        assert [kind for kind, one in rules.items() if one.used] == ["youden"]
        assert rules["youden"].sensitivity.value == evaluation.per_class[name].sensitivity.value
        assert rules["youden"].specificity == evaluation.per_class[name].specificity
    assert "Where to draw the line?" in (finished.evaluation / "evaluation.html").read_text()


@pytest.mark.parametrize("kind", OPERATING_RULES)
def test_the_recipe_says_which_rule_is_used(kind, finished: Finished, tmp_path: Path):
    from imaging.evaluation import calibrate_on_disk
    from imaging.models.directory import replace_info

    rule = OperatingRule(kind=kind, specificity=0.8, miss_cost=3)
    replace_info(finished.model, tmp_path / "model", operating_rule=rule)
    found = calibrate_on_disk(tmp_path / "model", finished.dataset, finished.split, tmp_path / "out")
    info = load_info(tmp_path / "out")
    assert found.operating_points == {name: one[kind] for name, one in info.operating_point_options.items()}
    assert info.operating_point_rule == describe(rule)
    assert {"youden": "Youden", "fixed_specificity": "80%", "cost": "3 false alarms"}[kind] in info.operating_point_rule


def test_a_model_of_before_has_no_table_of_rules(finished: Finished):
    info = load_info(finished.calibrated).model_copy(update={"operating_point_options": {}})
    assert measure_rules(info, calibrated_answers()) is None


def test_every_class_of_a_dataset_gets_thresholds_that_tell_its_images_apart():
    answers = calibrated_answers()
    chosen = choose_operating_points(
        answers.probabilities, answers.labels, classes=CLASSES, critical=CLASSES, floors={}, rule=OperatingRule()
    )
    assert {name: set(one) for name, one in chosen.items()} == {name: set(OPERATING_RULES) for name in CLASSES}


def test_a_recipe_that_leaves_the_rule_alone_keeps_its_digest():
    for name in RECIPES:
        fields = get_recipe(name).model_dump(mode="json")
        del fields["operating_point"], fields["members"]
        text = json.dumps(fields, sort_keys=True, separators=(",", ":"))
        assert get_recipe(name).digest == "sha256:" + hashlib.sha256(text.encode()).hexdigest()
    strict = changed_recipe("mobilenetv2_xray3", {"operating_point.kind": "cost"})
    assert strict.digest != get_recipe("mobilenetv2_xray3").digest
