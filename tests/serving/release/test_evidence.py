"""What a rollout's step has shown, counted from rows of the prediction log."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

from audit.predictions import PredictionSpool
from monitoring.prediction_log import collect
from serving.release.evidence import Evidence, at_least, breach, distance, paired, read_rows, weigh
from serving.release.plan import Bounds, Step

NEW, OLD = "sha256:new", "sha256:old"
SHADOW = Step(kind="shadow", seconds=0, requests=0)
CANARY = Step(kind="canary", share=0.1, seconds=0, requests=0)
BOUNDS = Bounds(error_rate=0.01, latency_ratio=2, disagreement=0.2, score_shift=0.15, answered_share=0.5)


def row(
    number: int, digest: str, stage: str, *, covid: float = 0.1, refusal: str | None = None, ms: float = 20
) -> dict:
    scores = {} if refusal else {"covid": covid, "normal": 1 - covid}
    prediction = max(scores, key=scores.get) if scores else ""
    return {
        "time": datetime.fromtimestamp(1000 + number, UTC).isoformat(timespec="milliseconds"),
        "request_id": f"r{number}",
        "model_digest": digest,
        "stage": stage,
        "image_sha256": f"i{number}",
        "scores": scores,
        "prediction": prediction,
        "latency_ms": 20.0,
        "refusal_code": refusal,
    }


def test_both_answers_to_a_request_are_one_pair():
    rows = [row(1, OLD, "champion"), row(1, NEW, "shadow", covid=0.3), row(2, OLD, "champion"), row(3, NEW, "shadow")]
    seen = weigh(rows, digest=NEW, serving=OLD, step=SHADOW)
    assert (seen.requests, seen.others, seen.compared, seen.disagreed) == (2, 2, 1, 0)
    assert seen.score_shift == pytest.approx(0.2)


def test_an_image_that_is_sent_again_and_again_counts_once():
    rows = []
    for number in range(50):
        same = {"image_sha256": "i"}
        rows += [row(number, OLD, "champion") | same, row(number, NEW, "shadow", covid=0.9) | same]
    seen = weigh(rows, digest=NEW, serving=OLD, step=SHADOW)
    assert (seen.requests, seen.compared, seen.disagreed) == (50, 1, 1)
    assert breach(seen, BOUNDS, SHADOW) == ""


def test_a_refusal_of_what_the_other_answered_is_an_error_and_of_what_neither_did_is_none():
    rows = [row(1, OLD, "champion"), row(1, NEW, "shadow", refusal="malformed_image")]
    rows += [row(2, OLD, "champion", refusal="malformed_image"), row(2, NEW, "shadow", refusal="malformed_image")]
    rows += [row(3, OLD, "champion"), row(3, NEW, "shadow", refusal="service_unavailable")]
    assert weigh(rows, digest=NEW, serving=OLD, step=SHADOW).errors == 2


def test_a_canary_is_not_blamed_for_a_bad_image():
    rows = [row(1, NEW, "canary", refusal="malformed_image"), row(2, NEW, "canary", refusal="service_unavailable")]
    assert weigh(rows, digest=NEW, serving=OLD, step=CANARY).errors == 1


def test_the_releases_own_smoke_test_and_other_steps_do_not_count():
    rows = [row(1, NEW, "shadow") | {"request_id": "smoke-1"}, row(2, NEW, "canary")]
    assert weigh(rows, digest=NEW, serving=OLD, step=SHADOW).requests == 0


@pytest.mark.parametrize(
    ("seen", "step", "said"),
    [
        (Evidence(requests=100, others=100, errors=1), SHADOW, ""),
        (Evidence(requests=100, others=100, errors=6), SHADOW, "6 of 100 requests failed"),
        (Evidence(requests=2, others=10, errors=2), SHADOW, ""),
        (Evidence(requests=3, others=10, errors=3), SHADOW, "3 of 3 requests failed"),
        (Evidence(requests=30, others=30, compared=30, disagreed=8), SHADOW, ""),
        (Evidence(requests=30, others=30, compared=30, disagreed=12), SHADOW, "another class for 12 of 30"),
        (Evidence(requests=30, others=30, compared=30, score_shift=0.16), SHADOW, "scores differ by 0.16"),
        (Evidence(requests=9, others=9, compared=9, score_shift=0.5), SHADOW, ""),
        (Evidence(requests=9, others=20), SHADOW, "answered 9 of some 20"),
        (Evidence(requests=11, others=189), CANARY, ""),
        (Evidence(requests=9, others=191), CANARY, "answered 9 of some 20"),
        (Evidence(requests=200, others=1800, p99_ms=50.0, others_p99_ms=20.0), CANARY, "50 ms against 20 ms"),
        (Evidence(requests=200, others=1800, p99_ms=39.0, others_p99_ms=20.0), CANARY, ""),
        (Evidence(), SHADOW, ""),
    ],
)
def test_a_bound_is_broken_beyond_chance_and_said_in_figures(seen, step, said):
    found = breach(seen, BOUNDS, step)
    assert said in found
    assert bool(found) == bool(said)


@given(st.integers(1, 500), st.data())
def test_the_lower_end_is_wilsons(of, data):
    found = data.draw(st.integers(0, of))
    low, _ = proportion_confint(found, of, alpha=0.1, method="wilson")
    assert at_least(found, of) == pytest.approx(max(0, low), abs=1e-9)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=5), st.lists(st.floats(0, 1), min_size=2, max_size=5))
def test_a_distance_is_between_0_and_1_and_symmetric(some, others):
    new = {str(i): value / (sum(some) or 1) for i, value in enumerate(some)}
    old = {str(i): value / (sum(others) or 1) for i, value in enumerate(others)}
    assert 0 <= distance(new, old) <= 1 + 1e-9
    assert distance(new, old) == pytest.approx(distance(old, new))
    assert distance(new, new) == 0


def test_a_pair_needs_the_same_request_and_the_same_image():
    other_image = row(1, NEW, "shadow") | {"image_sha256": "another"}
    assert paired([other_image], [row(1, OLD, "champion")]) == []


def test_rows_are_read_from_the_spool_and_from_what_was_collected_meanwhile_each_once(tmp_path):
    folder = tmp_path / "predictions"
    first, second = PredictionSpool(folder / "spool"), PredictionSpool(folder / "spool")
    for number in range(5):
        first.append(row(number, OLD, "champion"))
    first.close()
    collect(folder / "spool", folder / "parquet")
    for number in range(3, 8):
        second.append(row(number, OLD, "champion"))
    rows = read_rows(tmp_path, 1002.0)
    second.close()
    assert sorted(one["request_id"] for one in rows) == ["r2", "r3", "r4", "r5", "r6", "r7"]
    assert all(json.loads(json.dumps(one["scores"])) == {"covid": 0.1, "normal": 0.9} for one in rows)


def test_a_home_without_a_prediction_log_has_no_rows(tmp_path):
    assert read_rows(tmp_path, 0.0) == []
