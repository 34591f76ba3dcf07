"""The simulated day: queues as theory has them, the autoscaler as Kubernetes writes it, and as our manifest says."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from thorax.cli import app
from thorax.cluster.arrivals import DAY_S, Demand, draw
from thorax.cluster.autoscaler import LOOK_EVERY_S, Autoscaler, Scaling
from thorax.cluster.capacity import Service, compare, simulate
from thorax.cluster.manifests import INFRA

FLAT = (1.0,) * 24


def alone(load: float, deviation: float) -> float:
    """The mean wait in ms of one pod with one worker, at a load, over a flat day without bursts."""
    service = Service(mean_ms=200, deviation=deviation, start_s=0)
    demand = Demand(studies=int(load / 0.2 * DAY_S), profile=FLAT, images_per_study=1, burst=1)
    waits = [
        float(found.latency_ms.mean()) - 200
        for seed in range(3)
        if (found := simulate(demand, service, Scaling(least=1, most=1), seed=seed)).requests
    ]
    return float(np.mean(waits))


@pytest.mark.parametrize(("load", "deviation"), [(0.3, 0.0), (0.6, 0.0), (0.6, 1.0), (0.8, 0.5)])
def test_a_single_queue_waits_as_pollaczek_and_khinchine_say(load: float, deviation: float) -> None:
    expected = load * 200 * (1 + deviation**2) / (2 * (1 - load))
    assert alone(load, deviation) == pytest.approx(expected, rel=0.06)


def test_a_day_has_the_images_that_are_asked_for_at_the_hours_that_are_said() -> None:
    moments = draw(Demand(studies=20_000, images_per_study=2, burst=4))
    assert len(moments) == pytest.approx(40_000, rel=0.05)
    assert (np.diff(moments) >= 0).all()
    night = ((moments > 1 * 3600) & (moments < 5 * 3600)).mean()
    noon = ((moments > 9 * 3600) & (moments < 13 * 3600)).mean()
    assert noon > 10 * night
    assert (np.diff(moments) == 0).mean() > 0.5


def test_the_same_seed_gives_the_same_day() -> None:
    demand, service = Demand(studies=500), Service(mean_ms=100)
    one, other = (simulate(demand, service, Scaling(), seed=7) for _ in range(2))
    assert np.array_equal(one.latency_ms, other.latency_ms)
    assert np.array_equal(one.pods, other.pods)


def looks(scaler: Autoscaler, figures: list[float]) -> list[int]:
    return [scaler.look((n + 1) * LOOK_EVERY_S, figure, scaler.replicas) for n, figure in enumerate(figures)]


def test_it_doubles_within_a_minute_and_no_faster() -> None:
    taken = looks(Autoscaler(rules=Scaling(most=40), replicas=2), [5000.0] * 9)
    assert taken == [4, 4, 4, 4, 8, 8, 8, 8, 16]


def test_it_stays_within_its_tolerance() -> None:
    assert looks(Autoscaler(rules=Scaling(), replicas=4), [54.9, 45.1, 50.0]) == [4, 4, 4]


def test_it_goes_down_by_one_each_two_minutes_after_ten_quiet_ones() -> None:
    scaler = Autoscaler(rules=Scaling(), replicas=6)
    taken = looks(scaler, [50.0] + [0.0] * 75)
    moments = [(n + 1) * LOOK_EVERY_S for n in range(1, len(taken)) if taken[n] < taken[n - 1]]
    assert all(a - b == -1 for a, b in zip(taken[1:], taken, strict=False) if a < b)
    assert moments[0] > 600
    assert all(b - a >= 120 for a, b in itertools.pairwise(moments))


@given(st.lists(st.floats(0, 1e5), min_size=1, max_size=200), st.integers(1, 5), st.integers(5, 20))
def test_it_never_leaves_its_bounds(figures: list[float], least: int, most: int) -> None:
    scaler = Autoscaler(rules=Scaling(least=least, most=most), replicas=least)
    assert all(least <= one <= most for one in looks(scaler, figures))


def test_the_simulation_goes_by_the_rules_of_the_manifest() -> None:
    spec = yaml.safe_load((INFRA / "base" / "serving" / "horizontalpodautoscaler.yaml").read_text())["spec"]
    rules, up, down = Scaling(), spec["behavior"]["scaleUp"], spec["behavior"]["scaleDown"]
    assert (spec["minReplicas"], spec["maxReplicas"]) == (rules.least, rules.most)
    assert float(spec["metrics"][0]["pods"]["target"]["averageValue"]) == rules.target_ms
    assert [(one["type"], one["value"], one["periodSeconds"]) for one in up["policies"]] == [
        ("Percent", rules.up_percent, rules.up_period_s),
        ("Pods", rules.up_pods, rules.up_period_s),
    ]
    assert up["selectPolicy"] == "Max"
    (policy,) = down["policies"]
    assert (policy["value"], policy["periodSeconds"]) == (rules.down_pods, rules.down_period_s)
    assert down["stabilizationWindowSeconds"] == rules.down_window_s


def test_the_cheapest_settings_that_hold_come_first() -> None:
    choices = compare(Demand(studies=3000), Service(mean_ms=100), goal_ms=600, most=6)
    holding = [one.outcome.pod_hours for one in choices if one.holds]
    assert holding == sorted(holding)
    assert choices[0].holds


def test_the_command_prints_and_draws_a_plan_and_says_when_nothing_holds(tmp_path: Path) -> None:
    given = ["capacity", "plan", "--studies", "2000", "--service-ms", "100", "--price", "2", "--json"]
    done = CliRunner().invoke(app, [*given, "--plot", str(tmp_path / "day.svg")])
    assert done.exit_code == 0, done.output
    best = json.loads(done.stdout)["choices"][0]
    assert best["holds"]
    assert best["cost_per_1000_studies"] == pytest.approx(best["pod_hours"] * 2 / 2000 * 1000, abs=0.06)
    assert "<svg" in (tmp_path / "day.svg").read_text()
    assert CliRunner().invoke(app, [*given, "--goal-ms", "50", "--most", "1"]).exit_code == 1
