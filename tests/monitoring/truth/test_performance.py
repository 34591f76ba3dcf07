import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from statsmodels.stats.proportion import proportion_confint

from imaging.evaluation.figure import Figure
from monitoring.truth.answers import NO_LABEL, Answers
from monitoring.truth.estimate import estimate
from monitoring.truth.known import load_known
from monitoring.truth.performance import Known, measure, share
from monitoring.truth.report import write_performance

BEGIN = datetime(2026, 10, 1, tzinfo=UTC)
KNOWN = Known(
    classes=("normal", "pneumonia"),
    critical=("pneumonia",),
    thresholds={1: 0.4},
    released={
        "normal": {},
        "pneumonia": {
            "sensitivity": Figure(value=0.9, low=0.85, high=0.94),
            "specificity": Figure(value=0.9, low=0.86, high=0.94),
        },
    },
)


def answers_of(count: int, *, seed: int, missed: float = 0.0, labelled: float = 1.0) -> Answers:
    """Calibrated answers with labels drawn from them; a share of the ill get a low score, as by a fault."""
    chance = np.random.default_rng(seed)
    score = chance.beta(0.6, 1.0, count)
    ill = chance.random(count) < score
    score = np.where(ill & (chance.random(count) < missed), 0.05, score)
    label = np.where(chance.random(count) < labelled, ill.astype(int), NO_LABEL)
    minutes = np.sort(chance.integers(0, 28 * 24 * 60, count))
    time = np.datetime64("2026-10-01T00:00:00") + minutes.astype("timedelta64[m]")
    return Answers(
        request_id=np.array([f"r-{number}" for number in range(count)], dtype=object),
        time=time,
        site=np.where(np.arange(count) % 3 == 0, "B", "A").astype(object),
        probabilities=np.stack([1 - score, score], axis=1),
        label=label,
        received=np.array([str(one) for one in time], dtype=object),
        disputed=1,
        unusable=2,
        unknown=3,
    )


def measured(answers: Answers):
    return measure(answers, KNOWN, since=BEGIN, until=BEGIN + timedelta(days=28))


def test_figures_are_those_of_independent_implementations() -> None:
    answers = answers_of(600, seed=1)
    found = measured(answers).whole.classes["pneumonia"]
    ill, score = answers.label == 1, answers.probabilities[:, 1]
    assert found.auroc.value == pytest.approx(roc_auc_score(ill, score))
    hits = int((score[ill] >= 0.4).sum())
    low, high = proportion_confint(hits, int(ill.sum()), method="wilson")
    sensitivity = found.sensitivity
    expected = pytest.approx((hits / ill.sum(), low, high))
    assert (sensitivity.value, sensitivity.low, sensitivity.high) == expected
    assert found.specificity.value == pytest.approx(float((score[~ill] < 0.4).mean()))


def test_weeks_and_sites_add_up_to_the_whole() -> None:
    found = measured(answers_of(500, seed=2, labelled=0.6))
    assert len(found.weeks) == 4
    assert sum(week.answers for week in found.weeks) == sum(site.answers for site in found.sites) == 500
    assert sum(week.labelled for week in found.weeks) == found.whole.labelled
    assert [site.name for site in found.sites] == ["A", "B"]


def test_without_labels_the_estimate_is_what_labels_would_have_said() -> None:
    answers = answers_of(20_000, seed=3)
    guessed = estimate(answers.probabilities, KNOWN.thresholds)[1]
    real = measured(answers).whole.classes["pneumonia"]
    assert guessed.sensitivity == pytest.approx(real.sensitivity.value, abs=0.015)
    assert guessed.specificity == pytest.approx(real.specificity.value, abs=0.015)
    assert guessed.auroc == pytest.approx(real.auroc.value, abs=0.015)
    assert guessed.prevalence == pytest.approx((answers.label == 1).mean(), abs=0.015)


def test_the_estimate_sees_nothing_of_a_model_that_is_wrong_and_sure_and_labels_do() -> None:
    answers = answers_of(3_000, seed=4, missed=0.5)
    found = measured(answers)
    own = found.whole.classes["pneumonia"]
    assert own.sensitivity.value is not None
    assert own.estimated.sensitivity is not None
    assert own.estimated.sensitivity - own.sensitivity.value > 0.15
    assert ("pneumonia", "missed") in [(one.label, one.what) for one in found.alarms]


def test_as_good_as_at_the_release_is_no_alarm_and_one_that_fell_is_found_within_weeks() -> None:
    known = Known(
        classes=KNOWN.classes,
        critical=KNOWN.critical,
        thresholds=KNOWN.thresholds,
        released={
            "pneumonia": {"sensitivity": measured(answers_of(20_000, seed=5)).whole.classes["pneumonia"].sensitivity}
        },
    )
    until = BEGIN + timedelta(days=28)
    good = [measure(answers_of(800, seed=seed), known, since=BEGIN, until=until).alarms for seed in range(10, 40)]
    assert sum(map(bool, good)) <= 2
    fell = measure(answers_of(800, seed=6, missed=0.4), known, since=BEGIN, until=until)
    assert fell.alarms[0].test.alarm_at is not None
    assert fell.alarms[0].test.alarm_at < fell.alarms[0].outcomes


def test_nothing_known_is_said_and_not_guessed() -> None:
    found = measured(answers_of(40, seed=7, labelled=0.0))
    own = found.whole.classes["pneumonia"]
    assert (own.sensitivity.value, own.auroc.value, found.whole.calibration_error) == (None, None, None)
    assert own.estimated.sensitivity is not None
    empty = measured(answers_of(0, seed=7))
    assert empty.whole.answers == 0
    assert empty.whole.classes["pneumonia"].estimated.sensitivity is None


def test_a_share_of_nothing_has_no_value() -> None:
    assert share(0, 0).value is None


def test_the_page_and_the_document_tell_it_all(tmp_path: Path) -> None:
    answers = answers_of(900, seed=8, missed=0.5)
    found = measured(answers)
    page = write_performance(found, KNOWN, tmp_path / "out", since=BEGIN, model_digest="sha256:abc")
    document = json.loads((tmp_path / "out" / "performance.json").read_text())
    assert document["fell"] is True
    assert document["verdict"].startswith("Worse than at the release, beyond chance: pneumonia: missed")
    assert document["left_out"] == {"disputed": 1, "no_class_of_the_model": 2, "no_answer_of_this_span": 3}
    text = page.read_text()
    assert text.count("<svg") == 6
    assert "1 disputed labels" in text
    assert "nan" not in text.lower()


def test_a_package_that_does_not_tell_its_evaluation_is_compared_with_nothing(tmp_path: Path) -> None:
    described = {"classes": ["a", "b"], "operating_points": {"b": 0.3}, "critical_classes": ["b"]}
    (tmp_path / "model.json").write_text(json.dumps(described))
    known = load_known(tmp_path)
    assert (known.thresholds, known.critical, known.released) == ({1: 0.3}, ("b",), {})


def test_a_release_without_an_error_leaves_room_for_one(tmp_path: Path) -> None:
    described = {"classes": ["a", "b"], "critical_classes": ["b"]}
    (tmp_path / "model.json").write_text(json.dumps(described))
    perfect = {"value": 1.0, "low": 1.0, "high": 1.0}
    own = {"n_images": 50, "sensitivity": perfect, "specificity": perfect, "auroc": perfect}
    (tmp_path / "evaluation.json").write_text(json.dumps({"n_images": 250, "per_class": {"a": own, "b": own}}))
    found = load_known(tmp_path).released["b"]
    assert found["sensitivity"].low == pytest.approx(proportion_confint(50, 50, method="wilson")[0])
    assert found["specificity"].low == pytest.approx(proportion_confint(200, 200, method="wilson")[0])


def test_one_site_that_fails_does_not_vanish_in_the_average() -> None:
    good, bad = answers_of(1_500, seed=20), answers_of(1_500, seed=21, missed=0.9)
    rows = np.flatnonzero(bad.site == "B")[:120]
    few = bad.of(rows)
    mixed = Answers(
        **{
            name: np.concatenate([getattr(good, name)[good.site == "A"], getattr(few, name)])
            for name in ("request_id", "time", "site", "probabilities", "label", "received")
        },
        disputed=0,
        unusable=0,
        unknown=0,
    )
    known = Known(
        classes=KNOWN.classes,
        critical=KNOWN.critical,
        thresholds=KNOWN.thresholds,
        released={"pneumonia": {"sensitivity": measured(good).whole.classes["pneumonia"].sensitivity}},
    )
    found = measure(mixed, known, since=BEGIN, until=BEGIN + timedelta(days=28))
    assert "pneumonia: missed (site B)" in [one.name for one in found.alarms]
    assert "pneumonia: missed (site A)" not in [one.name for one in found.alarms]
