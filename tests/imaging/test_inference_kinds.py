"""One predictor for every kind of model: colour and grey, one logit; rows read from a file a batch at a time."""

from pathlib import Path

import numpy as np
import pytest
import torch

from imaging.config import InputConfig
from imaging.errors import DataError
from imaging.inference import BATCH, Predictor, triage
from imaging.models import build_model
from imaging.models.directory import ModelInfo

COLOUR = ModelInfo(
    name="lenet5-cifar10",
    subject="picture",
    recipe="tiny",
    architecture="lenet5",
    classes=("cat", "dog", "owl"),
    input=InputConfig(size=32),
    packed_size=32,
    packed_channels=3,
)
BINARY = ModelInfo(
    recipe="tiny",
    architecture="lenet5",
    single_logit=True,
    classes=("normal", "pneumonia"),
    input=InputConfig(size=32, channels=1, mean=(0.5,), std=(0.5,)),
    packed_size=28,
    critical_classes=("pneumonia",),
    operating_points={"pneumonia": 0.3},
)


def predictor(info: ModelInfo) -> Predictor:
    torch.manual_seed(0)
    network = build_model(
        info.architecture,
        num_classes=len(info.classes),
        channels=info.input.channels,
        size=32,
        single_logit=info.single_logit,
    )
    return Predictor(network, info)


def images(count: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, *shape), dtype=np.uint8)


def test_colour_images_get_answers_and_heat_maps_of_their_side() -> None:
    found = predictor(COLOUR).predict(images(3, 32, 32, 3), views=["", "", ""], explain="grad-cam")
    assert [one.heat_map.shape for one in found] == [(32, 32)] * 3
    assert all(sum(one.probabilities.values()) == pytest.approx(1) for one in found)


def test_the_colours_of_an_image_matter() -> None:
    model, picture = predictor(COLOUR), images(1, 32, 32, 3)
    assert np.abs(model.logits(picture) - model.logits(picture[..., ::-1])).max() > 1e-3


@pytest.mark.parametrize(
    ("info", "given", "said"),
    [
        (COLOUR, (32, 32), r"expected images \(N, 32, 32, 3\) of uint8, got \(1, 32, 32\) .* colour images of 32 px"),
        (COLOUR, (28, 28, 3), r"got \(1, 28, 28, 3\)"),
        (BINARY, (28, 28, 3), r"expected images \(N, 28, 28\) of uint8, .* grey images of 28 px"),
    ],
)
def test_images_of_other_channels_or_another_side_are_refused(
    info: ModelInfo, given: tuple[int, ...], said: str
) -> None:
    with pytest.raises(DataError, match=said):
        predictor(info).logits(images(1, *given))


def test_one_logit_answers_with_two_probabilities_that_are_its_sigmoid() -> None:
    model = predictor(BINARY)
    logits = model.logits(images(5, 28, 28))
    assert (logits[:, 0] == 0).all()
    np.testing.assert_allclose(model.probabilities(images(5, 28, 28))[:, 1], 1 / (1 + np.exp(-logits[:, 1])), rtol=1e-6)
    assert model.predict(images(1, 28, 28), explain="grad-cam++")[0].heat_map.shape == (28, 28)


def test_rows_are_answered_in_their_order_whatever_file_they_lie_in(tmp_path: Path) -> None:
    stored = images(3 * BATCH, 32, 32, 3)
    np.save(tmp_path / "images.npy", stored)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    rows = np.random.default_rng(1).permutation(len(stored))[: 2 * BATCH + 5]
    model = predictor(COLOUR)
    np.testing.assert_allclose(model.logits(mapped, rows), model.logits(stored[rows]), atol=1e-5)
    assert model.logits(mapped, rows[:0]).shape == (0, 3)


def test_no_more_than_a_batch_is_read_at_once() -> None:
    asked: list[int] = []

    class Watched:
        shape, dtype = (10_000, 32, 32, 3), np.dtype(np.uint8)

        def __len__(self) -> int:
            return 10_000

        def __getitem__(self, rows: np.ndarray) -> np.ndarray:
            asked.append(len(rows))
            return np.zeros((len(rows), 32, 32, 3), np.uint8)

    assert predictor(COLOUR).probabilities(Watched(), np.arange(0, 1000, 3)).shape == (334, 3)
    assert max(asked) <= BATCH
    assert sum(asked) == 334


def test_a_picture_is_not_asked_for_its_view_or_critical_classes_but_for_its_confidence() -> None:
    info = COLOUR.model_copy(update={"operating_points": {"cat": 0.1}})
    assert triage(np.array([0.2, 0.7, 0.1]), info, view="") == ()
    assert triage(np.array([0.3, 0.4, 0.3]), info, view="LL") == ("low_confidence",)
