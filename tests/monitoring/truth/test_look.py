"""From the prediction log and the feedback store to what is told, recorded and asked for next."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from audit import AuditLog
from audit.feedback import FeedbackStore, Said
from audit.predictions import PredictionSpool
from imaging.settings import Settings
from monitoring.prediction_log import collect
from monitoring.served import ServedModel
from monitoring.truth.look import look_at_performance, queue_of
from tests.monitoring.conftest import CLASSES, DIGEST, prediction_row

NOW = datetime.now(UTC)


@pytest.fixture
def served(tmp_path: Path) -> ServedModel:
    package = tmp_path / "package"
    package.mkdir()
    described = {"classes": list(CLASSES), "operating_points": {"pneumonia": 0.5}, "critical_classes": ["pneumonia"]}
    (package / "model.json").write_text(json.dumps(described))
    figure = {"value": 0.95, "low": 0.9, "high": 0.98}
    figures = dict.fromkeys(("sensitivity", "specificity", "auroc"), figure)
    evaluated = {name: {"n_images": 100, **figures} for name in CLASSES}
    (package / "evaluation.json").write_text(json.dumps({"n_images": 300, "per_class": evaluated}))
    return ServedModel(version="3", digest=DIGEST, package=package)


def answered(home: Path, scores: list[float], **changes: object) -> None:
    """Log one image for each score of pneumonia."""
    spool = PredictionSpool(home / "predictions" / "spool")
    for index, score in enumerate(scores):
        row = prediction_row(index, scores={"normal": 1 - score, "pneumonia": score, "covid": 0.0}, **changes)
        spool.append({**row, "time": (NOW - timedelta(hours=index)).isoformat()})
    spool.close()
    collect(home / "predictions" / "spool", home / "predictions" / "parquet")


def labelled(home: Path, labels: dict[int, str]) -> None:
    store = FeedbackStore.of(home)
    for index, label in labels.items():
        content = {"label": label, "reader_role": "radiologist"}
        received = (NOW - timedelta(minutes=index)).isoformat()
        store.add(
            Said(
                kind="feedback",
                id=f"f-{index}",
                request_id=f"request-{index}",
                received=received,
                client="p",
                content=content,
            )
        )


def look(home: Path, served: ServedModel):
    return look_at_performance(
        Settings(home=home), AuditLog(home / "audit"), served, actor="monitor", subject="chest-xray/3", window="30d"
    )


def test_labels_find_their_answers_and_what_is_left_out_is_counted(home: Path, served: ServedModel) -> None:
    answered(home, [0.9, 0.8, 0.2, 0.1, 0.7])
    labelled(home, {0: "pneumonia", 1: "normal", 2: "pneumonia", 3: "cardiomegaly", 77: "normal"})
    found = look(home, served).found
    own = found.whole.classes["pneumonia"]
    assert (found.whole.answers, found.whole.labelled) == (5, 3)
    assert (own.positives, own.sensitivity.value, own.specificity.value) == (2, 0.5, 0.0)
    assert (found.answers.unusable, found.answers.unknown) == (1, 1)


def test_a_label_of_any_request_is_the_label_of_its_image(home: Path, served: ServedModel) -> None:
    answered(home, [0.9, 0.9], image_sha256="sha256:same")
    labelled(home, {1: "pneumonia"})
    found = look(home, served).found
    assert (found.whole.answers, found.whole.labelled) == (1, 1)


def test_what_labels_say_is_recorded_and_a_fall_is_told_once(home: Path, served: ServedModel) -> None:
    answered(home, [0.1] * 40)
    labelled(home, dict.fromkeys(range(40), "pneumonia"))
    log = AuditLog(home / "audit")
    first, second = look(home, served), look(home, served)
    assert first.verdict.startswith("Worse than at the release")
    assert first.page != second.page
    actions = [event.action for event in log.events()]
    assert actions == ["run.finished", "performance.fell", "run.finished"]
    (fell,) = log.events(action="performance.fell")
    assert fell.details["rates"]["pneumonia: missed"]["outcomes"] == 40


def test_the_queue_asks_for_uncertain_unusual_disputed_and_random_images(home: Path, served: ServedModel) -> None:
    chance = np.random.default_rng(1)
    scores = chance.uniform(0.6, 1, 200)
    scores[:20] = 0.52
    answered(home, scores.tolist())
    spool = PredictionSpool(home / "predictions" / "spool")
    for index in range(100, 110):
        row = prediction_row(index, request_id=f"copy-{index}", model_digest="sha256:shadow", prediction="covid")
        spool.append({**row, "time": NOW.isoformat(), "stage": "shadow"})
    for index in range(300, 310):
        odd = prediction_row(index, reasons=["out_of_distribution"], novelty=9.0)
        spool.append({**odd, "time": NOW.isoformat()})
    spool.close()
    collect(home / "predictions" / "spool", home / "predictions" / "parquet")
    labelled(home, {0: "normal"})
    queue = queue_of(Settings(home=home), served, window="30d", most=50)
    why = {kind: {one.request_id for one in queue if one.why == kind} for kind in {one.why for one in queue}}
    assert len(queue) == 50
    assert len(why["control"]) == 15
    assert why["disagrees with the shadow"] | why["control"] >= {f"request-{index}" for index in range(100, 110)}
    assert why["unlike the training images"] | why["control"] >= {f"request-{index}" for index in range(300, 310)}
    assert len({f"request-{index}" for index in range(1, 20)} & {one.request_id for one in queue}) >= 14
    assert "request-0" not in {one.request_id for one in queue}, "it has a label"
    assert queue == queue_of(Settings(home=home), served, window="30d", most=50)


def test_a_short_log_gives_a_short_queue(home: Path, served: ServedModel) -> None:
    assert queue_of(Settings(home=home), served, window="30d", most=10) == []
    answered(home, [0.9, 0.5, 0.7])
    assert len(queue_of(Settings(home=home), served, window="30d", most=10)) == 3
