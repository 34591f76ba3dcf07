"""An image unlike the training images scores high, by features alone."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imaging.errors import ModelPackageError
from imaging.models.novelty import NOVELTY_FILE, NoveltyReference


def features(count: int, *, seed: int = 0, width: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """Two classes that differ in a few of many features; a tenth of the features is never excited."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    rows = rng.normal(size=(count, 12)) @ np.random.default_rng(9).normal(size=(12, width)) * 0.3
    rows += rng.normal(0, 0.2, rows.shape)
    rows[:, :5] += 3.0 * labels[:, None]
    rows[:, -width // 10 :] = 0
    return rows.astype(np.float32), labels


def test_a_fresh_image_of_either_class_scores_little_more_than_one_and_a_strange_one_much_more() -> None:
    reference = NoveltyReference.fit(*features(300))
    fresh, _ = features(100, seed=1)
    usual = reference.score(fresh)
    assert 0.9 < np.median(usual) < 1.4
    excited = fresh.copy()
    excited[:, -1] = 3.0
    between = fresh.copy()
    between[:, :5] = 30.0
    assert reference.score(excited).min() > np.quantile(usual, 0.95)
    assert reference.score(between).min() > usual.max()


def test_with_as_many_directions_as_the_data_have_it_is_the_distance_worked_by_hand() -> None:
    rng = np.random.default_rng(2)
    rows = rng.normal(size=(400, 3)) * np.array([3.0, 1.0, 0.5])
    reference = NoveltyReference.fit(rows, np.zeros(400, dtype=np.int64))
    away = rows - rows.mean(axis=0)
    expected = np.sqrt((away @ np.linalg.inv(away.T @ away / 399) * away).sum(axis=1) / 3)
    assert reference.score(rows) == pytest.approx(expected, rel=1e-6)


@given(st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_a_score_does_not_depend_on_its_batch_nor_on_the_names_of_the_classes(seed: int) -> None:
    rows, labels = features(80, seed=seed, width=40)
    one, other = NoveltyReference.fit(rows, labels), NoveltyReference.fit(rows, 7 - labels)
    together = one.score(rows)
    assert one.score(rows[3:4]) == pytest.approx(together[3:4], rel=1e-9)
    assert other.score(rows) == pytest.approx(together, rel=1e-9)


def test_it_comes_back_from_a_file_as_it_was_and_not_from_anything_else(tmp_path: Path) -> None:
    rows, labels = features(120)
    reference = NoveltyReference.fit(rows, labels)
    (tmp_path / NOVELTY_FILE).write_bytes(reference.to_bytes())
    assert NoveltyReference.load(tmp_path).score(rows) == pytest.approx(reference.score(rows), rel=1e-4)
    assert reference.to_bytes() == NoveltyReference.fit(rows, labels).to_bytes()
    assert len(reference.to_bytes()) < 60_000
    (tmp_path / NOVELTY_FILE).write_bytes(b"no tensors")
    with pytest.raises(ModelPackageError, match="no readable out_of_distribution"):
        NoveltyReference.load(tmp_path)


def test_no_number_is_never_like_the_training_images() -> None:
    reference = NoveltyReference.fit(*features(60))
    assert np.isnan(reference.score(np.full((1, 200), np.nan))[0])
