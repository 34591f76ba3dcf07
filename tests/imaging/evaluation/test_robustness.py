"""What changed images cost: on whom it is measured, when it is more than chance, and what the report says."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from imaging.data.dataset import load_dataset
from imaging.evaluation.attack import attacked, gradient_signs
from imaging.evaluation.corruptions import CORRUPTIONS
from imaging.evaluation.gate import Evidence, GateRow
from imaging.evaluation.metrics import auroc_per_class, one_weighting
from imaging.evaluation.robustness import choose_sample, compare_answers, lower_bounds, measure_robustness
from imaging.evaluation.robustness_gate import check_robustness
from imaging.evaluation.robustness_plot import draw_robustness
from imaging.evaluation.schema import Evaluation
from imaging.inference import Predictor
from tests.imaging.evaluation.factories import calibrated_answers
from tests.imaging.evaluation.robust import steady_robustness

STEPS = [(name, 0) for name in CORRUPTIONS]


def test_the_sample_has_as_many_of_each_class_and_few_of_one_patient():
    labels = np.repeat([0, 1, 2], [500, 60, 200])
    patients = np.array([f"p{index // 5}" for index in range(760)])
    chosen = choose_sample(labels, patients, most=30)
    assert len(chosen) == len(set(chosen.tolist())) == 30
    assert np.bincount(labels[chosen]).tolist() == [10, 10, 10]
    _, counts = np.unique(patients[chosen], return_counts=True)
    assert counts.max() <= 4
    assert np.array_equal(chosen, choose_sample(labels, patients, most=30))
    assert not np.array_equal(chosen, choose_sample(labels, patients, most=30, seed=1))


@given(st.integers(1, 80), st.integers(1, 30), st.integers(1, 100))
@settings(max_examples=40, deadline=None)
def test_a_sample_never_repeats_an_image_and_a_larger_one_begins_with_it(images, people, most):
    rng = np.random.default_rng(images)
    labels, patients = rng.integers(0, 3, images), rng.integers(0, people, images).astype(str)
    chosen = choose_sample(labels, patients, most=most)
    assert len(set(chosen.tolist())) == len(chosen) <= most
    assert set(labels[chosen]) == set(labels[choose_sample(labels, patients, most=1000)]) or most < 3
    assert np.array_equal(choose_sample(labels, patients, most=most + 5)[: len(chosen)], chosen)


def noisy(probabilities: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Answers of which a share is those of other images."""
    rng = np.random.default_rng(seed)
    chosen = np.flatnonzero(rng.random(len(probabilities)) < share)
    changed = probabilities.copy()
    changed[chosen] = probabilities[rng.permutation(chosen)]
    return changed


@pytest.fixture(scope="module")
def answers():
    return calibrated_answers(images=400)


def compared(answers, changed):
    return compare_answers(
        answers.probabilities, changed, STEPS, answers.labels, answers.patients, resamples=200, seed=0
    )


def test_a_drop_is_the_difference_of_both_figures_and_0_where_nothing_changed(answers):
    changed = [answers.probabilities, *(noisy(answers.probabilities, 0.05 * index, index) for index in range(1, 9))]
    whole, rows = compared(answers, changed)
    assert (rows[0].drop.value, rows[0].drop.high, rows[0].changed) == (0.0, 0.0, 0.0)
    expected = auroc_per_class(changed[4], answers.labels, one_weighting(400)).mean()
    assert rows[4].macro_auroc.value == pytest.approx(expected)
    assert rows[4].drop.value == pytest.approx(whole.value - expected)
    assert [one.lowest_drop is not None for one in rows] == [CORRUPTIONS[name].gated for name, _ in STEPS]


def test_bounds_that_hold_together_are_lower_than_each_alone_and_higher_than_bonferronis():
    rng = np.random.default_rng(0)
    one = rng.normal(size=(20000, 1))
    alone = lower_bounds(np.zeros(1), one)[0]
    assert alone == pytest.approx(-1.645, abs=0.03)
    independent = lower_bounds(np.zeros(8), rng.normal(size=(20000, 8)))
    assert independent == pytest.approx(-2.49, abs=0.06)  # the normal quantile of 0.95 ** (1 / 8)
    together = lower_bounds(np.zeros(8), np.repeat(one, 8, axis=1))
    assert together == pytest.approx(alone, abs=0.05)
    assert np.isnan(lower_bounds(np.zeros(2), np.full((50, 2), np.nan))).all()


def test_a_model_whose_answers_only_jitter_fails_one_time_in_twenty_at_most():
    failed = 0
    for seed in range(60):
        answers = calibrated_answers(images=60, per_patient=1, seed=seed)
        rng = np.random.default_rng(seed)
        jittered = [
            np.exp(np.log(answers.probabilities) + rng.normal(0, 0.8, answers.probabilities.shape)) for _ in STEPS
        ]
        _, rows = compared(answers, [one / one.sum(axis=1, keepdims=True) for one in jittered])
        failed += any(row.gated and row.drop.value > 0.05 and row.lowest_drop > 0 for row in rows)
    assert failed <= 6


@pytest.fixture(scope="module")
def small(finished):
    data = load_dataset(finished.dataset)
    rows = choose_sample(data.labels, data.patients, most=30)
    return Predictor.load(finished.calibrated), np.array(data.images[rows]), data.labels[rows], data.patients[rows]


def test_the_attack_harms_more_than_the_same_step_at_random(small):
    predictor, images, labels, _ = small
    signs = gradient_signs(predictor, images, labels)
    assert signs.shape == images.shape
    assert set(np.unique(signs)) <= {-1, 0, 1}
    rng = np.random.default_rng(0)
    by_chance = rng.choice(np.array([-1, 1], dtype=np.int16), images.shape)

    def loss(changed: np.ndarray) -> float:
        return float(-np.log(predictor.probabilities(changed)[np.arange(len(labels)), labels]).mean())

    assert loss(attacked(images, signs, 2)) > loss(attacked(images, by_chance, 2))
    assert np.abs(attacked(images, signs, 2).astype(int) - images).max() <= 2
    assert all(not parameter.requires_grad for parameter in predictor.model.parameters())


@pytest.mark.parametrize("tone", ["linear", "percentile"])
def test_the_gradients_sign_is_that_of_small_steps(small, tone):
    class Sum(torch.nn.Module):
        """A head whose first logit falls with every pixel of the upper half and rises with the lower."""

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            half = inputs.shape[2] // 2
            one = inputs[:, :, half:].sum(dim=(1, 2, 3)) - inputs[:, :, :half].sum(dim=(1, 2, 3))
            return torch.stack([one, torch.zeros_like(one), torch.zeros_like(one)], dim=1) / 1e4

    predictor, images, _, _ = small

    class Asked:
        model = torch.nn.Sequential(Sum(), torch.nn.Linear(3, 3, bias=False).requires_grad_(False))
        info = predictor.info.model_copy(update={"input": predictor.info.input.model_copy(update={"tone": tone})})

    Asked.model[1].weight.copy_(torch.eye(3))
    signs = gradient_signs(Asked, images[:4], np.zeros(4, np.int64))
    half = images.shape[1] // 2
    assert (signs[:, :half] == 1).mean() > 0.95
    assert (signs[:, half:] == -1).mean() > 0.95


def test_a_thorough_measurement_has_every_severity_and_repeats_itself(small):
    predictor, images, labels, patients = small
    plain = predictor.probabilities(images)
    found = [
        measure_robustness(
            predictor, images[:12], labels[:12], patients[:12], plain=plain[:12], thorough=thorough, resamples=40
        )
        for thorough in (True, True, False)
    ]
    assert found[0] == found[1]
    assert len(found[0].corruptions) == sum(len(one.levels) for one in CORRUPTIONS.values())
    assert [one.corruption for one in found[2].corruptions] == list(CORRUPTIONS)
    assert found[2].gated == found[0].gated
    assert found[0].rows("jpeg")[2].severity == 3


ROW = GateRow(name="robustness", bound=0.05, owner="o", why="w")


def judged(evaluation: Evaluation, tmp_path):
    return check_robustness(Evidence(evaluation=evaluation, package=tmp_path), ROW)


@pytest.mark.parametrize(
    ("drop", "lowest", "passed"), [(0.06, 0.001, False), (0.06, -0.001, True), (0.04, 0.03, True), (0.05, 0.04, True)]
)
def test_the_gate_fails_beyond_the_bound_and_beyond_chance_only(drop, lowest, passed, good, tmp_path):
    rows = [
        one.model_copy(update={"drop": one.drop.model_copy(update={"value": drop}), "lowest_drop": lowest})
        if one.corruption == "rotation"
        else one
        for one in good.robustness.corruptions
    ]
    changed = good.robustness.model_copy(update={"corruptions": tuple(rows)})
    verdict = judged(good.model_copy(update={"robustness": changed}), tmp_path)
    assert verdict.passed is passed
    assert "rotation" in verdict.reason


def test_a_corruption_that_was_left_out_or_doubled_or_called_harmless_fails(good, tmp_path):
    rows = good.robustness.corruptions
    harmless = [one.model_copy(update={"gated": False, "lowest_drop": None}) for one in rows]
    for spoilt in (rows[1:], (*rows, rows[0]), tuple(harmless), ()):
        changed = good.robustness.model_copy(update={"corruptions": spoilt})
        verdict = judged(good.model_copy(update={"robustness": changed}), tmp_path)
        assert not verdict.passed
        assert "missing" in verdict.reason
    assert not judged(good.model_copy(update={"robustness": None}), tmp_path).passed


@pytest.mark.parametrize("severities", [1, 3])
def test_the_picture_is_the_same_bytes_each_time(severities):
    found = steady_robustness(severities=severities)
    drawn = draw_robustness(found)
    assert drawn == draw_robustness(found)
    assert "<svg" in drawn


def test_the_report_says_what_was_found(finished):
    evaluation = Evaluation.model_validate_json((finished.evaluation / "evaluation.json").read_text())
    html = (finished.evaluation / "evaluation.html").read_text()
    assert evaluation.robustness is not None
    assert evaluation.robustness.n_images <= 60
    assert "When the image changes" in html
    assert "fast gradient attack" in html
    assert all(one.level in html for one in evaluation.robustness.corruptions)
