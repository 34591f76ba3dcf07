from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imaging.errors import ConfigurationError
from monitoring.change_control import Asked, Plan, Request, Retrain, decide, decide_asked, load_plan
from tests.monitoring.conftest import NOW

INSTALLED = Path(__file__).resolve().parents[2] / "pipelines" / "change_control.yaml"
PLAN = load_plan(INSTALLED)
REQUEST = Request(serving_version="3", recipe="a", champion_recipe="a", labelled=True)


@dataclass(frozen=True)
class Found:
    drifted: bool = True
    enough: bool = True
    above: tuple[str, ...] = ("mean",)
    rows: int = 150


def retrain(hours_ago: float, outcome: str = "decided", version: str = "3") -> Retrain:
    return Retrain(request="r1", time=NOW - timedelta(hours=hours_ago), serving_version=version, outcome=outcome)


def rule(found: Found = Found(), history: tuple = (), request: Request = REQUEST, plan: Plan = PLAN) -> tuple[str, str]:
    decision = decide(found, plan, history, request=request, now=NOW)
    assert decision.allowed == (decision.action == "retrain")
    return decision.action, decision.rule


def test_the_installed_plan_is_the_contracts() -> None:
    trigger = PLAN.triggers["drift"]
    assert trigger.bound == 0.2
    assert set(trigger.watched) == {"scores", "statistics", "embedding"}
    assert PLAN.limits.open_retrains == 1
    assert PLAN.modifications["retrain"].result == "challenger"
    assert PLAN.digest.startswith("sha256:")


def test_shown_drift_within_the_plan_is_allowed() -> None:
    assert rule() == ("retrain", "within_plan")


def test_no_figure_above_the_bound_asks_for_nothing() -> None:
    assert rule(Found(drifted=False, above=())) == ("none", "no_drift")


def test_too_few_images_are_refused_however_large_the_figure() -> None:
    assert rule(Found(drifted=False, enough=False, rows=20)) == ("refuse", "minimum_sample")


def test_a_figure_within_sampling_noise_is_refused() -> None:
    assert rule(Found(drifted=False)) == ("refuse", "sampling_noise")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"recipe": "b"}, "same_recipe"),
        ({"labelled": False}, "labelled_data"),
        ({"modification": "move_operating_point"}, "outside_plan"),
        ({"modification": "change_architecture"}, "outside_plan"),
        ({"trigger": "somebody_asked"}, "outside_plan"),
    ],
)
def test_what_the_plan_does_not_name_is_refused(changes: dict, expected: str) -> None:
    assert rule(request=replace(REQUEST, **changes)) == ("refuse", expected)


def test_a_second_retraining_waits_for_the_first() -> None:
    assert rule(history=(retrain(100, "running", version="2"),)) == ("refuse", "open_retrain")
    assert rule(history=(retrain(100, "challenger"),)) == ("refuse", "open_retrain")
    assert rule(history=(retrain(100, "challenger", version="2"),)) == ("retrain", "within_plan")


@pytest.mark.parametrize("outcome", ["decided", "failed"])
def test_the_cool_down_holds_for_the_same_version_until_it_is_over(outcome: str) -> None:
    assert rule(history=(retrain(23.9, outcome),)) == ("refuse", "cool_down")
    assert rule(history=(retrain(24.1, outcome),)) == ("retrain", "within_plan")
    assert rule(history=(retrain(1, outcome, version="2"),)) == ("retrain", "within_plan")


def test_an_abandoned_retraining_may_be_taken_up_again() -> None:
    assert rule(history=(retrain(0.1, "abandoned"),)) == ("retrain", "within_plan")


@given(st.booleans(), st.booleans(), st.booleans(), st.sampled_from(["running", "challenger", "decided", "failed"]))
def test_nothing_is_allowed_without_shown_drift_on_enough_images(drifted, enough, above, outcome) -> None:
    found = Found(drifted=drifted, enough=enough, above=("mean",) if above else ())
    allowed = decide(found, PLAN, [retrain(1000, outcome, version="1")], request=REQUEST, now=NOW).allowed
    assert not allowed or (drifted and enough and above and outcome != "running")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("bound: 0.2", "bound: -1"),
        ("open_retrains: 1", "open_retrains: 5"),
        ("minimum_sample: 100", "minimum_sample: 3"),
    ],
)
def test_a_plan_that_breaks_its_schema_is_refused(tmp_path: Path, old: str, new: str) -> None:
    text = INSTALLED.read_text()
    assert old in text
    path = tmp_path / "plan.yaml"
    path.write_text(text.replace(old, new))
    with pytest.raises(ConfigurationError, match="change control plan"):
        load_plan(path)


def test_a_plan_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        load_plan(tmp_path / "none.yaml")


PERSON = replace(REQUEST, trigger="person")


def asked_rule(asked: Asked, request: Request, history: tuple = (), plan: Plan = PLAN) -> tuple[str, str]:
    decision = decide_asked(asked, plan, history, request=request, now=NOW)
    assert decision.allowed == (decision.action == "retrain")
    return decision.action, decision.rule


def test_a_person_may_start_a_retraining_and_says_why() -> None:
    assert asked_rule(Asked(reason="a new protocol in March"), PERSON) == ("retrain", "within_plan")
    assert asked_rule(Asked(reason="  "), PERSON) == ("refuse", "reason")


def test_the_other_rules_hold_for_a_person_too() -> None:
    why = Asked(reason="why not")
    assert asked_rule(why, replace(PERSON, recipe="b")) == ("refuse", "same_recipe")
    assert asked_rule(why, replace(PERSON, labelled=False)) == ("refuse", "labelled_data")
    assert asked_rule(why, PERSON, (retrain(1),)) == ("refuse", "cool_down")
    assert asked_rule(why, PERSON, (retrain(100, "challenger"),)) == ("refuse", "open_retrain")


def test_worse_performance_needs_labels_behind_it() -> None:
    request = replace(REQUEST, trigger="performance")
    assert asked_rule(Asked(reason="x", fell=False, labelled=500), request) == ("none", "no_fall")
    assert asked_rule(Asked(reason="x", fell=True, labelled=40), request) == ("refuse", "minimum_labelled")
    assert asked_rule(Asked(reason="x", fell=True, labelled=400), request) == ("retrain", "within_plan")


def test_the_schedule_asks_when_it_is_due() -> None:
    request = replace(REQUEST, trigger="schedule")
    young, old = (Asked(reason="due", since=NOW - timedelta(days=days)) for days in (364, 366))
    assert asked_rule(young, request) == ("none", "not_due")
    assert asked_rule(old, request) == ("retrain", "within_plan")


def test_the_budget_counts_every_retraining_but_abandoned_ones() -> None:
    spent = tuple(retrain(24 * days, version=str(days)) for days in range(2, 8))
    assert rule(history=spent) == ("refuse", "budget")
    assert rule(history=(*spent[:5], retrain(48, "abandoned", "9"))) == ("retrain", "within_plan")
    long_ago = tuple(replace(one, time=NOW - timedelta(days=91)) for one in spent)
    assert rule(history=long_ago) == ("retrain", "within_plan")


def test_too_few_new_images_of_a_class_are_refused_by_name() -> None:
    decision = decide(Found(), PLAN, (), request=replace(REQUEST, counts={"covid": 3, "normal": 40}), now=NOW)
    assert (decision.rule, decision.reason.split(",")[0]) == (
        "minimum_per_class",
        "3 of covid are too few new images",
    )


def test_a_trigger_that_the_plan_does_not_know_is_outside_it() -> None:
    assert asked_rule(Asked(reason="x"), replace(REQUEST, trigger="whim")) == ("refuse", "outside_plan")
