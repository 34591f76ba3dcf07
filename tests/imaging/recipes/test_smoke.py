import numpy as np
import pytest
import torch

from imaging.config import TrainConfig
from imaging.models import build_model
from imaging.recipes import RECIPES, get_recipe
from imaging.recipes.smoke import smoke
from imaging.training import TrainingData, TrainingRun, train
from imaging.training.batches import PackedImages

CLASSES = ("normal", "pneumonia", "covid")
COUNT = 8


def _data(config: TrainConfig) -> TrainingData:
    classes = CLASSES[:2] if config.loss == "binary" else CLASSES
    side = config.input.size - 4 if config.input.fit == "pad" else config.input.size + 4
    shape = (
        (COUNT, side, side, 3) if config.subject == "picture" and config.input.channels == 3 else (COUNT, side, side)
    )
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    labels = torch.arange(COUNT) % len(classes)
    return TrainingData(
        classes=classes,
        train_images=PackedImages.of(images),
        train_labels=labels,
        val_images=PackedImages.of(images[:4]),
        val_labels=labels[:4],
    )


@pytest.mark.parametrize("name", [name for name in RECIPES if not name.endswith("_smoke")])
def test_every_recipe_trains_when_it_is_made_small(name: str) -> None:
    config = smoke(get_recipe(name))
    data = _data(config)
    torch.manual_seed(0)
    model = build_model(
        config.architecture,
        num_classes=len(data.classes),
        channels=config.input.channels,
        size=config.input.size,
        dropout=config.dropout,
        head=config.head,
        single_logit=config.loss == "binary",
        auxiliary=config.auxiliary_weight > 0,
    )
    run = TrainingRun(model=model, config=config, stages=config.stages, data=data)
    results = list(train(run))
    assert [result.stage for result in results] == [stage.name for stage in config.stages]
    assert all(np.isfinite([result.train_loss, result.val_loss]).all() for result in results)
    if config.stages[-1].trainable == "all":
        assert all(parameter.requires_grad for parameter in model.parameters())


def test_a_small_recipe_keeps_what_makes_it_its_own() -> None:
    config = smoke(get_recipe("googlenet_cifar10"))
    assert (config.name, config.auxiliary_weight, config.pretrained) == ("googlenet_cifar10_smoke", 0.3, False)
    assert [stage.epochs for stage in config.stages] == [1]
    assert config.input.size == 8
