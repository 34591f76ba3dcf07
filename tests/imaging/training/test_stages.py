import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from imaging.config import Stage
from imaging.errors import ConfigurationError
from imaging.models import MODELS, build_model
from imaging.models.layers import backbone_blocks
from imaging.training.optimizers import build_optimizer
from imaging.training.stages import freeze, frozen_depth, planned_stages, rate_factor, shared_depth, training_mode
from tests.imaging.training.factories import two_stages


def _stage(trainable: str | int, **changes: object) -> Stage:
    return Stage.model_validate({"name": "stage", "epochs": 1, "trainable": trainable, "lr": 1e-3, **changes})


@pytest.mark.parametrize("trainable", ["head", "last", "all"])
def test_only_the_stages_layers_learn(trainable: str) -> None:
    model = build_model("mobilenet_v2", num_classes=3)
    depth = frozen_depth(model, "mobilenet_v2", _stage(trainable))
    freeze(model, depth)
    training_mode(model, depth)
    learning = {name.split(".")[1] for name, value in model.named_parameters() if value.requires_grad}
    expected = {"head": {"1"}, "last": {"1", *map(str, range(14, 19))}, "all": {"1", *map(str, range(19))}}
    assert learning == expected[trainable]
    norms = [layer for layer in model.modules() if isinstance(layer, torch.nn.BatchNorm2d)]
    assert all(norm.training == (trainable == "all") for norm in norms)
    assert model.get_submodule("classifier.0").training


def test_a_number_of_blocks_can_learn_and_no_more_than_there_are() -> None:
    model = build_model("mobilenet_v2", num_classes=3)
    assert frozen_depth(model, "mobilenet_v2", _stage(3)) == len(backbone_blocks(model)) - 3
    with pytest.raises(ConfigurationError, match="trains the last 40 blocks and mobilenet_v2 has 19"):
        frozen_depth(model, "mobilenet_v2", _stage(40))


def test_a_network_whose_blocks_are_not_known_cannot_train_its_last_ones() -> None:
    model = build_model("mnasnet0_5", num_classes=3)
    with pytest.raises(ConfigurationError, match="those of mnasnet0_5 are not known; use head, all"):
        frozen_depth(model, "mnasnet0_5", _stage("last"))


def test_the_head_can_decay_by_a_rule_of_its_own() -> None:
    model = build_model("mobilenet_v2", num_classes=3)
    stage = _stage("all", weight_decay=1e-3, head_weight_decay=0.5)
    assert [group["weight_decay"] for group in build_optimizer(model, stage).param_groups] == [0.5, 0, 1e-3]


def test_two_rates_and_no_decay_of_norms() -> None:
    model = build_model("resnet18", num_classes=3)
    stage = _stage("last", lr=1e-2, backbone_lr=1e-4, weight_decay=0.1)
    freeze(model, frozen_depth(model, "resnet18", stage))
    groups = build_optimizer(model, stage).param_groups
    assert [(group["lr"], group["weight_decay"]) for group in groups] == [
        (1e-2, 0.1),
        (1e-2, 0),
        (1e-4, 0.1),
        (1e-4, 0),
    ]
    assert sum(len(group["params"]) for group in groups) == sum(p.requires_grad for p in model.parameters())


def test_random_weights_are_trained_as_a_whole() -> None:
    config = two_stages()
    assert planned_stages(config, "imagenet:sha256:00") == config.stages
    (only,) = planned_stages(config, "random")
    assert (only.trainable, only.epochs, only.lr, only.backbone_lr) == ("all", 2, 1e-2, None)


def test_shared_depth_ends_before_a_stage_that_trains_everything() -> None:
    assert shared_depth([19, 14]) == 14
    assert shared_depth([19, 0, 14]) == 19
    assert shared_depth([0, 14]) == 0
    assert shared_depth([]) == 0


@given(
    schedule=st.sampled_from(["constant", "cosine", "one_cycle", "plateau"]),
    progress=st.floats(0, 1),
    warmup=st.sampled_from([0.0, 0.1, 0.5]),
)
def test_a_rate_is_never_negative_nor_above_its_full_value(schedule: str, progress: float, warmup: float) -> None:
    assert 0 <= rate_factor(_stage("all", schedule=schedule, warmup=warmup), progress) <= 1


def test_schedules_begin_and_end_where_they_should() -> None:
    cosine, cycle = _stage("all", schedule="cosine", final_factor=0.1), _stage("all", schedule="one_cycle")
    assert rate_factor(cosine, 0) == 1
    assert rate_factor(cosine, 1) == pytest.approx(0.1)
    assert rate_factor(cycle, 0) == pytest.approx(1 / 25)
    assert rate_factor(cycle, 0.3) == pytest.approx(1)
    assert rate_factor(cycle, 1) == 0


def test_a_warm_up_rises_in_a_straight_line_to_the_full_rate() -> None:
    stage = _stage("all", schedule="cosine", warmup=0.2)
    assert [rate_factor(stage, progress) for progress in (0, 0.05, 0.1, 0.2)] == pytest.approx([0, 0.25, 0.5, 1])


def test_a_plateau_lowers_the_rate_after_two_epochs_without_anything_better() -> None:
    stage = _stage("all", schedule="plateau", final_factor=0.01)
    factors = [rate_factor(stage, 0.5, figures) for figures in ([3, 2], [3, 2, 2], [3, 2, 2, 2], [1] * 20)]
    assert factors == pytest.approx([1, 1, 0.2, 0.01])


@pytest.mark.parametrize("architecture", MODELS)
def test_every_network_has_something_to_freeze_and_something_to_train(architecture: str) -> None:
    model = build_model(architecture, num_classes=2)
    assert 0 < frozen_depth(model, architecture, _stage("last")) < len(backbone_blocks(model))
