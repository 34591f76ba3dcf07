import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imaging.training.curves import draw_curves
from imaging.training.reports import duration_text, read_report, write_reports
from tests.imaging.training.histories import best_of, history

LOSSES = [1.0, 0.6, 0.4, 0.45, 0.5, 0.6]


def test_the_curves_file_holds_every_epoch_the_cost_and_the_verdict(tmp_path: Path) -> None:
    results = history(LOSSES, stages=[2, 4])
    report = write_reports(tmp_path, results, best_of(results), classes=3)
    document = json.loads((tmp_path / "curves.json").read_text())
    assert [epoch["val_loss"] for epoch in document["epochs"]] == LOSSES
    assert (document["best_epoch"], document["seconds"]) == (3, 12.0)
    assert document["images_per_s"] == pytest.approx(525.0)
    assert document["data_share"] == pytest.approx(0.01)
    assert document["verdict"]["verdict"] == "over-fitting"
    assert read_report(tmp_path) == report


def test_a_slow_epoch_counts_for_longer_in_the_rate(tmp_path: Path) -> None:
    results = history([1.0, 0.5])
    results[1] = results[1].model_copy(update={"seconds": 6.0})
    assert write_reports(tmp_path, results, results[1], classes=3).images_per_s == pytest.approx(507.5)


@pytest.mark.parametrize(
    ("count", "stages"), [(1, [1]), (5, [5]), (30, [30]), (2, [1, 1]), (15, [5, 10]), (60, [10, 20, 30])]
)
def test_a_picture_is_drawn_for_a_history_of_any_length(count: int, stages: list[int]) -> None:
    results = history([1.0 / (n + 1) for n in range(count)], stages=stages)
    picture = np.asarray(
        Image.open(io.BytesIO(draw_curves(results, best_of(results), text="a\n" + "b " * 90))).convert("RGB")
    )
    assert picture.shape[1] > picture.shape[0] > 300
    assert (picture == np.array([31, 119, 180])).all(2).any()
    assert (picture == np.array([255, 127, 14])).all(2).any()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (8.44, "8.4 s"), (200, "3 min 20 s"), (3599.7, "1 h 00 min"), (7500, "2 h 05 min")],
)
def test_a_duration_is_told_in_units_that_fit(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text
