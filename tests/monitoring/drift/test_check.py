import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from audit.predictions import PredictionSpool
from imaging.errors import ConfigurationError, ModelPackageError
from imaging.settings import Settings
from monitoring.change_control import DriftTrigger, load_plan
from monitoring.drift import DriftResult, duration, run_drift
from monitoring.prediction_log import collect
from tests.monitoring.conftest import CLASSES, DIGEST, drawn_rows

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
PLAN = load_plan(Path(__file__).resolve().parents[3] / "pipelines" / "change_control.yaml")
TRIGGER = PLAN.triggers["drift"]


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


def test_a_new_scanner_at_one_site_does_not_vanish_in_the_average(
    home: Path, make_package: Callable[..., Path]
) -> None:
    rows = drawn_rows(1_500, seed=2)
    moved = drawn_rows(1_500, seed=3, shift=0.9)
    rows = [{**(moved[i] if i % 10 == 0 else row), "site": "B" if i % 10 == 0 else "A"} for i, row in enumerate(rows)]
    result = checked(home, make_package(count=600), rows)
    assert result.drifted
    assert all("(site B)" in name for name in result.above)
    page = result.html.read_text()
    assert "site B" in page
    document = json.loads(result.json.read_text())
    assert [part["value"] for part in document["parts"] if part["shifted"]] == ["B"]


def test_a_site_that_the_reference_lacks_is_compared_with_its_own_past(
    home: Path, make_package: Callable[..., Path]
) -> None:
    def of(count: int, seed: int, days: float) -> list[dict]:
        time = (datetime.now(UTC) - timedelta(days=days)).isoformat()
        other = drawn_rows(count, seed=seed, shift=1.2)
        return [
            {**row, "site": "B", "time": time, "image_sha256": f"sha256:{seed}-{i}", "request_id": f"{seed}-{i}"}
            for i, row in enumerate(other)
        ]

    package = make_package(count=600)
    spool = PredictionSpool(home / "predictions" / "spool")
    for row in [*of(300, 5, 20), *of(150, 6, 1), *({**row, "site": "A"} for row in drawn_rows(1200, seed=7))]:
        spool.append(row if row["site"] == "B" else {**row, "time": datetime.now(UTC).isoformat()})
    spool.close()
    collect(home / "predictions" / "spool", home / "predictions" / "parquet")
    out = home / "drift" / "past"
    result = run_drift(Settings(home=home), window=None, package=package, out=out, trigger=TRIGGER, model_digest=DIGEST)
    part = next(part for part in result.parts if part.value == "B")
    assert "own images" in part.against
    assert part.reference_rows == 300
    assert not part.shifted


def test_evidentlys_report_holds_the_same_figures_and_their_tests(
    home: Path, make_package: Callable[..., Path]
) -> None:
    result = checked(home, make_package(), drawn_rows(150, seed=2, shift=2.0))
    report = json.loads((result.html.parent / "evidently.json").read_text())
    values = [metric["value"] for metric in report["metrics"]]
    assert sorted(values) == pytest.approx(sorted(result.scores.values()))
    states = {test["status"] for test in report["tests"]}
    assert len(report["tests"]) == len(values)
    assert "FAIL" in states


def test_a_shift_below_the_bound_is_told_and_starts_nothing(home: Path, make_package: Callable[..., Path]) -> None:
    result = checked(home, make_package(count=3_000), drawn_rows(3_000, seed=2, shift=0.25))
    assert not result.drifted
    assert "mean" in result.shifted
    assert json.loads(result.json.read_text())["verdict"].startswith("A shift, below the bound of 0.2")


def test_embeddings_of_another_kind_are_found(home: Path, tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    chance = np.random.default_rng(8)
    rows = drawn_rows(300, seed=1)
    columns = {name: [row["statistics"][name] for row in rows] for name in rows[0]["statistics"]}
    columns |= {f"p_{name}": [row["scores"][name] for row in rows] for name in CLASSES}
    columns |= {f"e_{index:02}": chance.normal(size=300).tolist() for index in range(4)}
    columns |= {"view": ["PA", "AP"] * 150, "site": ["A"] * 300}
    package = tmp_path / "package"
    package.mkdir()
    pq.write_table(pa.table(columns), package / "reference_profile.parquet")
    without = checked(home, package, drawn_rows(200, seed=2))
    assert without.embedding_p_value is None, "rows of before the embedding was logged"
    assert without.parts[0].figures
    other = [
        {**row, "image_sha256": f"sha256:new-{row['request_id']}", "embedding": chance.normal(1, 1, size=4).tolist()}
        for row in drawn_rows(200, seed=2)
    ]
    result = checked(home, package, other)
    assert result.embedding_p_value is not None
    assert result.embedding_p_value < 0.001
    assert "embedding" in result.shifted
    assert {"e_00", "e_03"} <= set(result.above)
    assert "view" in result.shifted, "all of the window are PA"
    assert "view" not in result.scores, "the plan lets no tag start a retraining"
