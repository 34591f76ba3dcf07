import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from audit.predictions import PredictionSpool
from imaging.errors import ConfigurationError, ModelPackageError
from imaging.settings import Settings
from monitoring.change_control import DriftTrigger, load_plan
from monitoring.drift import DriftResult, duration, run_drift
from monitoring.prediction_log import collect
from tests.monitoring.conftest import CLASSES, DIGEST, drawn_rows

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
PLAN = load_plan(Path(__file__).resolve().parents[2] / "pipelines" / "change_control.yaml")
TRIGGER = PLAN.triggers["drift"].model_copy(update={"resamples": 100})


def checked(home: Path, package: Path, rows: list[dict], trigger: DriftTrigger = TRIGGER) -> DriftResult:
    spool = PredictionSpool(home / "predictions" / "spool")
    for index, row in enumerate(rows):
        spool.append({**row, "time": (datetime.now(UTC) - timedelta(minutes=index)).isoformat()})
    spool.close()
    collect(home / "predictions" / "spool", home / "predictions" / "parquet")
    settings = Settings(home=home)
    out = home / "drift" / "check"
    return run_drift(settings, window=None, package=package, out=out, trigger=trigger, model_digest=DIGEST)


def test_shifted_images_are_found_with_reports_to_read(home: Path, make_package: Callable[..., Path]) -> None:
    result = checked(home, make_package(), drawn_rows(150, seed=2, shift=2.0))
    assert result.drifted
    assert result.enough
    assert "mean" in result.above
    document = json.loads(result.json.read_text())
    assert document["drifted"] is True
    assert document["figures"][0]["state"] == "drifted"
    assert "Drift: " in result.html.read_text()
    assert (result.html.parent / "evidently.html").stat().st_size > 10_000


def test_images_of_the_same_kind_are_no_drift(home: Path, make_package: Callable[..., Path]) -> None:
    result = checked(home, make_package(), drawn_rows(150, seed=2))
    assert result.enough
    assert not result.drifted
    assert set(result.scores) == {f"p_{name}" for name in CLASSES} | set(drawn_rows(1, seed=0)[0]["statistics"])


def test_more_watched_figures_raise_the_noise_of_each(home: Path, make_package: Callable[..., Path]) -> None:
    package, rows = make_package(), drawn_rows(120, seed=2)
    many = checked(home, package, rows).noise
    few = checked(home, package, [], trigger=TRIGGER.model_copy(update={"watched": ("scores",)})).noise
    assert set(few) < set(many)
    assert all(few[name] <= many[name] for name in few)


def test_few_images_decide_nothing_however_shifted(home: Path, make_package: Callable[..., Path]) -> None:
    result = checked(home, make_package(), drawn_rows(20, seed=2, shift=3.0))
    assert result.above
    assert (result.enough, result.drifted) == (False, False)
    assert "Too little to judge" in result.html.read_text()


def test_one_image_asked_about_often_is_one_image(home: Path, make_package: Callable[..., Path]) -> None:
    rows = [{**row, "image_sha256": "sha256:0"} for row in drawn_rows(150, seed=2, shift=3.0)]
    result = checked(home, make_package(), rows)
    assert result.rows == 1
    assert not result.enough


def test_refusals_smoke_tests_and_other_models_are_not_compared(home: Path, make_package: Callable[..., Path]) -> None:
    rows = drawn_rows(8, seed=2)
    rows[0] |= {"refusal_code": "malformed_image", "scores": {}}
    rows[1] |= {"model_digest": "sha256:other"}
    package = make_package()
    (package / "reference_image.png").write_bytes(b"picture")
    image = "sha256:" + hashlib.sha256(b"picture").hexdigest()
    rows[2] |= {"request_id": "smoke-1", "image_sha256": image}
    result = checked(home, package, rows)
    assert (result.rows, result.refused) == (5, 1)


def test_a_client_cannot_hide_its_images_by_the_id_of_a_smoke_test(
    home: Path, make_package: Callable[..., Path]
) -> None:
    package = make_package()
    (package / "reference_image.png").write_bytes(b"picture")
    rows = [{**row, "request_id": f"smoke-{index}"} for index, row in enumerate(drawn_rows(8, seed=2))]
    assert checked(home, package, rows).rows == 8


def test_a_log_without_requests_still_gives_a_page(home: Path, make_package: Callable[..., Path]) -> None:
    result = checked(home, make_package(), [])
    assert (result.rows, result.scores, result.drifted) == (0, {}, False)
    assert "Too little to judge" in result.html.read_text()


def test_a_small_reference_is_too_little_too(home: Path, make_package: Callable[..., Path]) -> None:
    result = checked(home, make_package(count=40), drawn_rows(150, seed=2, shift=3.0))
    assert not result.enough


def test_only_what_the_plan_watches_is_compared(home: Path, make_package: Callable[..., Path]) -> None:
    watched = TRIGGER.model_copy(update={"watched": ("scores",)})
    result = checked(home, make_package(), drawn_rows(150, seed=2, shift=3.0), trigger=watched)
    assert set(result.scores) == {f"p_{name}" for name in CLASSES}
    assert not result.drifted


def test_a_package_without_a_reference_is_said(home: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelPackageError, match="reference_profile"):
        checked(home, tmp_path, [])


@pytest.mark.parametrize(
    ("text", "expected"), [("7d", timedelta(7)), ("12h", timedelta(0.5)), ("30m", timedelta(minutes=30))]
)
def test_windows_are_a_number_and_a_unit(text: str, expected: timedelta) -> None:
    assert duration(text) == expected


@pytest.mark.parametrize("text", ["", "7", "d", "-1d", "0d", "7 d", "1y", "٧d"])
def test_a_window_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="window"):
        duration(text)
