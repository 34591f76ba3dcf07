"""Two versions on the same images."""

import io

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.proportion import proportion_confint

from imaging.errors import NotFoundError
from serving.release.comparison import compare, draw_comparison

NEW, OLD = ("2", "sha256:new"), ("1", "sha256:old")
CLASSES = ("covid", "normal", "pneumonia")


def rows_of(old: np.ndarray, new: np.ndarray) -> list[dict]:
    rows = []
    for index, pair in enumerate(zip(old, new, strict=True)):
        for (version, digest), place, stage in ((OLD, pair[0], "champion"), (NEW, pair[1], "shadow")):
            scores = {name: 0.8 if i == place else 0.1 for i, name in enumerate(CLASSES)}
            rows.append({"request_id": f"r{index}", "image_sha256": f"i{index}", "model_version": version})
            rows[-1] |= {"model_digest": digest, "stage": stage, "scores": scores, "prediction": CLASSES[place]}
    return rows


@pytest.fixture
def places() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    old = rng.integers(0, 3, 200)
    return old, np.where(rng.random(200) < 0.8, old, rng.integers(0, 3, 200))


def test_agreement_and_kappa_are_those_of_other_implementations(places):
    old, new = places
    found = compare(rows_of(old, new), serving=OLD, new=NEW)
    assert found.images == 200
    assert found.agreement.value == pytest.approx((old == new).mean())
    low, high = proportion_confint(int((old == new).sum()), 200, method="wilson")
    assert (found.agreement.low, found.agreement.high) == pytest.approx((low, high))
    assert found.kappa.value == pytest.approx(cohen_kappa_score(old, new))
    assert found.kappa.low < found.kappa.value < found.kappa.high
    assert found.score_shift.value == pytest.approx(0.7 * (old != new).mean())


def test_the_table_has_the_serving_version_in_its_rows(places):
    old, new = places
    found = compare(rows_of(old, new), serving=OLD, new=NEW)
    assert found.table[0][1] == int(((old == 0) & (new == 1)).sum())


def test_one_class_throughout_has_no_agreement_beyond_chance():
    same = np.zeros(10, dtype=int)
    assert compare(rows_of(same, same), serving=OLD, new=NEW).kappa is None


def test_what_the_new_version_answered_as_a_canary_is_no_pair(places):
    rows = [row | {"stage": "canary"} if row["stage"] == "shadow" else row for row in rows_of(*places)]
    with pytest.raises(NotFoundError, match="no image has been answered"):
        compare(rows, serving=OLD, new=NEW)


def test_the_picture_has_a_panel_a_class(places):
    picture = Image.open(io.BytesIO(draw_comparison(compare(rows_of(*places), serving=OLD, new=NEW))))
    assert picture.width > 2 * picture.height
    assert np.asarray(picture.convert("L")).std() > 5
