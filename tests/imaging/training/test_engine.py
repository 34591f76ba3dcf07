from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from imaging.config import Stage, TrainConfig
from imaging.errors import ConfigurationError, EmptyDatasetError, TrainingDivergedError, TrainingMemoryError
from imaging.models import build_model
from imaging.models.weights import initialise
from imaging.settings import Settings
from imaging.training import Progress, TrainingRun, train
from imaging.training.checkpoint import restore_checkpoint, save_checkpoint
from imaging.training.results import macro_auroc
from tests.imaging.training.factories import CLASSES, training_data, two_stages, weights_file


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return weights_file(tmp_path_factory.mktemp("weights"))


def _run(config: TrainConfig, weights: Path | None, count: int = 24) -> TrainingRun:
    torch.manual_seed(config.seed)
    model = build_model(config.architecture, num_classes=len(CLASSES), dropout=config.dropout)
    if weights is not None:
        initialise(model, config.architecture, Settings(weights=weights), pretrained=True)
    return TrainingRun(model=model, config=config, stages=config.stages, data=training_data(count))


def _equal(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_a_seed_gives_the_same_weights_whatever_else_draws_random_numbers(weights: Path) -> None:
    first, again = _run(two_stages(), weights), _run(two_stages(), weights)
    results = list(train(first))
    for _ in train(again):
        torch.rand(3)
    assert _equal(first.model.state_dict(), again.model.state_dict())
    assert [result.epoch for result in results] == [1, 2, 3, 4]
    assert [result.stage for result in results] == ["head", "head", "last", "last"]


def test_another_seed_gives_other_weights(weights: Path) -> None:
    first, other = _run(two_stages(), weights), _run(two_stages(), weights)
    other.config = two_stages(seed=1)
    list(train(first))
    list(train(other))
    assert not _equal(first.model.state_dict(), other.model.state_dict())


def _all_stages(**changes: object) -> TrainConfig:
    """Change every stage of `two_stages` in the same way."""
    stages = [{**stage.model_dump(), **changes} for stage in two_stages().stages]
    return two_stages(stages=stages)


VARIANTS = {
    "adamw": two_stages(),
    "sgd": _all_stages(optimizer="sgd"),
    "moving average": two_stages(ema_decay=0.9, clip_norm=0.5),
    "weighted sampling, focal loss": two_stages(weighted_sampling=True, loss="focal"),
    "kept views": _all_stages(augment=True, views=2),
    "plateau by accuracy": _all_stages(schedule="plateau").replace(monitor="val_accuracy", deterministic=True),
    "bfloat16": two_stages(precision="bfloat16"),
}


@pytest.mark.parametrize("killed_after", [1, 3])
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_killed_run_ends_with_the_weights_of_an_unkilled_one(
    weights: Path, tmp_path: Path, killed_after: int, variant: str
) -> None:
    config = VARIANTS[variant]
    whole = _run(config, weights)
    expected = list(train(whole))
    killed = _run(config, weights)
    epochs = train(killed)
    for _ in range(killed_after):
        next(epochs)
    save_checkpoint(tmp_path / "run.safetensors", killed)
    epochs.close()

    resumed = _run(config, weights)
    restore_checkpoint(tmp_path / "run.safetensors", resumed)
    rest = list(train(resumed))
    timeless = {"seconds", "images_per_s", "data_share"}
    assert [r.model_dump(exclude=timeless) for r in rest] == [
        r.model_dump(exclude=timeless) for r in expected[killed_after:]
    ]
    assert _equal(resumed.model.state_dict(), whole.model.state_dict())


def test_images_read_from_disk_give_the_same_weights_as_images_in_memory(weights: Path) -> None:
    resident, streamed = _run(two_stages(), weights), _run(two_stages(), weights)
    list(train(resident))
    list(train(streamed, resident_bytes=0))
    assert _equal(resident.model.state_dict(), streamed.model.state_dict())


def test_the_best_epoch_goes_by_what_the_recipe_watches(weights: Path) -> None:
    run = _run(two_stages(monitor="val_macro_auroc"), weights)
    results = list(train(run))
    assert run.best is not None
    assert run.best.val_macro_auroc == max(result.val_macro_auroc for result in results)


def test_with_a_moving_average_its_weights_are_measured_and_kept(weights: Path) -> None:
    run = _run(two_stages(ema_decay=0.999), weights)
    next(train(run))
    assert not _equal(run.model.state_dict(), run.best_state)
    assert run.average is not None
    with run.average.applied():
        assert _equal(run.model.state_dict(), run.best_state)


def _learning(**changes: object) -> TrainConfig:
    """What learns the blobs from random numbers with every seed and rounding, far from any bound."""
    stage = Stage(name="all", epochs=4, trainable="all", lr=3e-3, augment=False, schedule="one_cycle")
    return two_stages(architecture="small_cnn", stages=[stage.model_dump()], **changes)


def test_one_logit_for_two_classes_learns_too() -> None:
    config = _learning(loss="binary")
    data = training_data(48)
    data = replace(
        data,
        classes=("normal", "pneumonia"),
        train_labels=data.train_labels.clamp_max(1),
        val_labels=data.val_labels.clamp_max(1),
    )
    torch.manual_seed(0)
    model = build_model(config.architecture, num_classes=2, single_logit=True)
    results = list(train(TrainingRun(model=model, config=config, stages=config.stages, data=data)))
    assert results[-1].train_loss < results[0].train_loss
    assert results[-1].val_macro_auroc > 0.9


def test_auxiliary_heads_learn_while_the_whole_network_does() -> None:
    stage = Stage(name="all", epochs=1, trainable="all", lr=3e-3, augment=False)
    config = two_stages(architecture="googlenet_cifar", stages=[stage.model_dump()], auxiliary_weight=0.3)
    model = build_model("googlenet_cifar", num_classes=len(CLASSES), size=32, auxiliary=True)
    before = {name: value.detach().clone() for name, value in model.named_parameters() if "aux" in name}
    list(train(TrainingRun(model=model, config=config, stages=config.stages, data=training_data(8))))
    assert before
    assert not any(torch.equal(model.get_parameter(name), value) for name, value in before.items())


def test_a_single_image_a_step_is_refused_where_batch_norm_learns() -> None:
    stage = Stage(name="all", epochs=1, trainable="all", lr=1e-3, augment=False)
    with pytest.raises(ConfigurationError, match="batch norm learns from at least 2 images a step, got 1"):
        list(train(_run(two_stages(stages=[stage.model_dump()], batch_size=1), None)))


def test_progress_counts_steps_and_tells_the_last_of_each_epoch(weights: Path) -> None:
    told: list[Progress] = []
    list(train(_run(two_stages(), weights), on_progress=told.append))
    assert {(p.epoch, p.epochs) for p in told if p.step == p.steps} == {(epoch, 4) for epoch in (1, 2, 3, 4)}
    assert all(p.steps == 3 and p.images_per_s > 0 and p.loss > 0 for p in told)


def test_memory_that_runs_out_names_a_batch_that_fits(weights: Path) -> None:
    stage = Stage(name="all", epochs=1, trainable="all", lr=1e-3, augment=False)
    run = _run(two_stages(stages=[stage.model_dump()], batch_size=24), None)

    def refuse(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if len(inputs[0]) > 7:
            raise torch.OutOfMemoryError("no more")

    run.model.get_submodule("features.3").register_forward_pre_hook(refuse)
    with pytest.raises(TrainingMemoryError, match="ran out at a batch_size of 24; a batch_size of 6 fits"):
        list(train(run))


def test_the_model_ends_with_the_best_epochs_weights(weights: Path) -> None:
    run = _run(two_stages(), weights)
    results = list(train(run))
    assert run.best is not None
    assert run.best.val_loss == min(result.val_loss for result in results)
    assert _equal(run.model.state_dict(), run.best_state)


def test_frozen_layers_do_not_change(weights: Path) -> None:
    run = _run(two_stages(), weights)
    before = {name: value.clone() for name, value in run.model.state_dict().items()}
    list(train(run))
    changed = {name for name, value in run.model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed
    assert all(name.startswith(("classifier", *(f"features.{i}." for i in range(14, 19)))) for name in changed)
    assert not any("running" in name for name in changed)


def test_a_network_from_random_numbers_learns_where_the_blob_is() -> None:
    results = list(train(_run(_learning(), None, count=48)))
    assert results[-1].train_loss < results[0].train_loss
    assert results[-1].val_macro_auroc > 0.9


def test_a_stage_ends_when_its_patience_does(weights: Path) -> None:
    stage = Stage(name="head", epochs=50, trainable="head", lr=1e-12, augment=False, schedule="constant")
    run = _run(two_stages(stages=[stage.model_dump()], patience=2), weights)
    results = list(train(run))
    assert len(results) < 50
    assert len(results) - 1 - min(range(len(results)), key=lambda i: results[i].val_loss) == 2


_WHERE = (
    r"in step \d of 3, in epoch \d of stage 'wild', at a learning rate of 1e\+30, on the dataset's images "
    r"(\d+, ){7}\d+; a lower learning rate would help"
)


def test_a_loss_that_is_not_a_number_is_an_error_that_names_step_rate_and_images(weights: Path) -> None:
    stage = Stage(name="wild", epochs=3, trainable="all", lr=1e30, optimizer="sgd", schedule="constant", augment=False)
    with pytest.raises(TrainingDivergedError, match=_WHERE):
        list(train(_run(two_stages(stages=[stage.model_dump()]), weights)))


def test_a_class_without_images_is_named(weights: Path) -> None:
    run = _run(two_stages(), weights)
    run.data.train_labels[run.data.train_labels == 1] = 0
    with pytest.raises(EmptyDatasetError, match="no training image of normal"):
        next(train(run))


def test_auroc_counts_the_pairs_in_the_right_order() -> None:
    labels = torch.tensor([0, 0, 1, 1]).numpy()
    scores = torch.tensor([[0.9, 0.1], [0.4, 0.6], [0.6, 0.4], [0.2, 0.8]]).double().numpy()
    assert macro_auroc(scores, labels) == pytest.approx(0.75)
    assert macro_auroc(scores, labels * 0) == 0.5
