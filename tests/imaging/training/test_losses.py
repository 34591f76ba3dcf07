from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional
from torchvision.ops import sigmoid_focal_loss

from imaging.config import Stage, TrainConfig
from imaging.training.losses import class_weights, summed_loss

STAGES = (Stage(name="all", epochs=1, trainable="all", lr=1e-3),)
CONFIG = TrainConfig(name="tiny", architecture="lenet5", stages=STAGES)
FOCAL, BINARY = CONFIG.replace(loss="focal"), CONFIG.replace(loss="binary")


def _logits_and_labels(
    count: int = 7, classes: int = 4, *, seed: int = 0, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(count, classes, generator=generator, dtype=dtype)
    return logits, torch.randint(classes, (count,), generator=generator)


def _ahead(z: Tensor) -> Tensor:
    """Logits as a network with a single one gives them on."""
    return torch.stack([torch.zeros_like(z), z], 1)


def _mean(outputs: Tensor | tuple[Tensor, ...], labels: Tensor, config: TrainConfig, weights: Tensor | None) -> Tensor:
    total, by = summed_loss(outputs, labels, config, weights)
    return total / by


def test_class_weights_are_the_inverse_frequency_and_one_on_average() -> None:
    labels = torch.tensor([0] * 6 + [1] * 3 + [2] * 2)
    weights = class_weights(labels, 3, CONFIG)
    assert weights is not None
    assert weights.tolist() == pytest.approx([0.5, 1.0, 1.5])
    assert class_weights(labels, 3, CONFIG.replace(class_weights=False)) is None


def test_a_class_without_an_image_weighs_nothing_and_leaves_the_others_alone() -> None:
    weights = class_weights(torch.tensor([0, 0, 0, 2]), 3, CONFIG)
    assert weights is not None
    assert weights.tolist() == pytest.approx([0.5, 0.0, 1.5])


def test_binary_weights_are_one_and_negatives_over_positives() -> None:
    weights = class_weights(torch.tensor([0] * 6 + [1] * 4), 2, BINARY)
    assert weights is not None
    assert weights.tolist() == pytest.approx([1.0, 1.5])


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weights", [None, torch.tensor([0.5, 2.0, 1.0, 0.3])])
@pytest.mark.parametrize("gamma", [None, 0.0])
def test_cross_entropy_is_torchs_and_so_is_focal_loss_without_focus(
    smoothing: float, weights: Tensor | None, gamma: float | None
) -> None:
    logits, labels = _logits_and_labels()
    config = CONFIG.replace(label_smoothing=smoothing)
    config = config if gamma is None else config.replace(loss="focal", focal_gamma=gamma)
    expected = functional.cross_entropy(logits, labels, weight=weights, label_smoothing=smoothing)
    torch.testing.assert_close(_mean(logits, labels, config, weights), expected)


@given(gamma=st.floats(0, 5), alpha=st.floats(0.1, 0.9), seed=st.integers(0, 100))
def test_focal_loss_of_two_classes_is_torchvisions(gamma: float, alpha: float, seed: int) -> None:
    (z, _), labels = torch.randn(2, 9, generator=torch.Generator().manual_seed(seed)), torch.arange(9) % 2
    weights = torch.tensor([1 - alpha, alpha])
    total, by = summed_loss(_ahead(z), labels, FOCAL.replace(focal_gamma=gamma), weights)
    expected = sigmoid_focal_loss(z, labels.float(), alpha=alpha, gamma=gamma, reduction="sum")
    torch.testing.assert_close(total, expected, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(by, weights[labels].sum())


def test_focal_loss_of_three_classes_by_hand() -> None:
    logits = torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]]).log()
    labels, weights = torch.tensor([0, 1]), torch.tensor([2.0, 3.0, 1.0])
    total, by = summed_loss(logits, labels, FOCAL, weights)
    assert float(total) == pytest.approx(2 * 0.5**2 * 0.693147 + 3 * 0.9**2 * 2.302585, rel=1e-5)
    assert float(by) == 5.0


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
def test_a_certain_right_answer_has_a_finite_gradient_under_focal_loss(gamma: float) -> None:
    logits = torch.tensor([[200.0, 0.0], [16.0, 0.0]], requires_grad=True)
    summed_loss(logits, torch.tensor([0, 0]), FOCAL.replace(focal_gamma=gamma), None)[0].backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("pos_weight", [None, 2.5])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_binary_loss_is_that_of_one_logit(pos_weight: float | None, smoothing: float) -> None:
    z, labels = torch.randn(8), torch.arange(8) % 2
    weights = None if pos_weight is None else torch.tensor([1.0, pos_weight])
    config = BINARY.replace(label_smoothing=smoothing)
    target = labels * (1 - smoothing) + smoothing / 2
    expected = functional.binary_cross_entropy_with_logits(
        z, target, pos_weight=None if pos_weight is None else torch.tensor(pos_weight)
    )
    torch.testing.assert_close(_mean(_ahead(z), labels, config, weights), expected)
    two_classes, _ = summed_loss(_ahead(z), labels, config.replace(loss="cross_entropy"), weights)
    torch.testing.assert_close(summed_loss(_ahead(z), labels, config, weights)[0], two_classes)


@pytest.mark.parametrize("config", [CONFIG, FOCAL, BINARY], ids=lambda config: config.loss)
def test_auxiliary_heads_count_their_weight_each(config: TrainConfig) -> None:
    heads = [_logits_and_labels(classes=2, seed=seed)[0] for seed in range(3)]
    labels, weights = torch.arange(7) % 2, torch.tensor([1.0, 2.0])
    config = config.replace(auxiliary_weight=0.3)
    main, first, second = (_mean(head, labels, config, weights) for head in heads)
    torch.testing.assert_close(_mean(tuple(heads), labels, config, weights), main + 0.3 * first + 0.3 * second)


@pytest.mark.parametrize("config", [CONFIG, FOCAL, BINARY], ids=lambda config: config.loss)
def test_the_shares_of_a_batch_add_up_to_it(config: TrainConfig) -> None:
    logits, labels = _logits_and_labels(9, 2)
    weights = class_weights(labels, 2, config)
    whole = summed_loss(logits, labels, config, weights)
    parts = [summed_loss(logits[part], labels[part], config, weights) for part in (slice(0, 4), slice(4, 9))]
    for total, *shares in zip(whole, *parts, strict=True):
        torch.testing.assert_close(sum(shares), total)


@pytest.mark.parametrize("config", [CONFIG, FOCAL, BINARY], ids=lambda config: config.loss)
def test_a_device_with_no_image_adds_nothing(config: TrainConfig) -> None:
    logits, labels = _logits_and_labels(1, 2)
    total, by = summed_loss(logits[:0], labels[:0], config, torch.tensor([1.0, 2.0]))
    assert (float(total), float(by)) == (0.0, 0.0)


@pytest.mark.parametrize("config", [CONFIG, FOCAL, BINARY], ids=lambda config: config.loss)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_gradients_are_those_of_the_loss(config: TrainConfig, smoothing: float) -> None:
    config = config.replace(label_smoothing=smoothing, auxiliary_weight=0.3, focal_gamma=1.5)
    labels, weights = torch.arange(5) % 2, torch.tensor([0.7, 1.3])
    heads = [_logits_and_labels(5, 2, seed=seed, dtype=torch.float64)[0].requires_grad_() for seed in range(2)]

    def loss(*heads: Tensor) -> Tensor:
        return _mean(heads, labels, config, weights)

    checked: Callable[..., bool] = torch.autograd.gradcheck
    assert checked(loss, heads)


@pytest.mark.parametrize("config", [CONFIG, FOCAL, BINARY], ids=lambda config: config.loss)
def test_half_precision_logits_are_weighed_in_single_precision(config: TrainConfig) -> None:
    logits, labels = _logits_and_labels(64, 2)
    weights = torch.tensor([1.0, 2.0])
    rough = logits.bfloat16()
    expected, _ = summed_loss(rough.float(), labels, config, weights)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        total, _ = summed_loss(rough, labels, config, weights)
    assert total.dtype == torch.float32
    torch.testing.assert_close(total, expected)
