"""Small pictures of ten or fewer classes that differ in colour, and a LeNet-5 whose last layer was fitted to them."""

import colorsys
from pathlib import Path

import numpy as np

from imaging.config import InputConfig
from imaging.models.directory import ModelInfo, save_model
from tests.imaging.training.histories import history, write_curves


def write_pictures(
    folder: Path, *, classes: int = 10, per_class: int = 30, size: int = 32, channels: int = 3, seed: int = 0
) -> Path:
    """A dataset version of noisy squares, one image a patient; grey ones differ in their place, not their colour."""
    from imaging.data.dataset import TEXT_COLUMNS, write_dataset
    from imaging.data.statistics import image_statistics

    rng = np.random.default_rng(seed)
    count = classes * per_class
    labels = np.arange(count) % classes
    images = rng.normal(60, 20, (count, size, size, 3))
    for image, label in zip(images, labels, strict=True):
        place = slice(size // 4, size // 2) if channels == 3 else slice(2 + 2 * label, 8 + 2 * label)
        image[place, size // 4 : -size // 4] += (
            np.array(colorsys.hsv_to_rgb((label + rng.normal(0, 0.3)) / classes % 1, 1, 1)) * 150
        )
    packed = images.clip(0, 255).astype(np.uint8)
    packed = packed if channels == 3 else np.ascontiguousarray(packed[..., 0])
    folder.mkdir(parents=True)
    np.save(folder / "images.npy", packed)
    table = {name: np.full(count, "", dtype=object) for name in TEXT_COLUMNS}
    table |= {
        "label": np.array([f"kind-{label}" for label in labels]),
        "patient": np.array([f"{seed:04x}{index:012x}" for index in range(count)]),
        "rows": np.full(count, size),
        "columns": np.full(count, size),
        "pixel_sha256": np.array([f"{seed:04x}{index:060x}" for index in range(count)]),
        **image_statistics(packed),
    }
    write_dataset(folder, table, size=size, facts={"name": "pictures"})
    return folder


def write_picture_model(folder: Path, dataset: Path, split: Path, **changes: object) -> Path:
    """A LeNet-5 with random convolutions and a last layer fitted to the training part."""
    import torch
    from sklearn.linear_model import LogisticRegression

    from imaging.data.dataset import load_dataset
    from imaging.data.splits import Split
    from imaging.models import build_model
    from imaging.models.preprocessing import to_input

    data, train = load_dataset(dataset), Split.load(split).parts["train"]
    config = InputConfig(size=32, channels=3, mean=(0.5,) * 3, std=(0.5,) * 3)
    torch.manual_seed(0)
    model = build_model("lenet5", num_classes=len(data.classes), channels=3, size=32).eval()
    last = [module for module in model.modules() if isinstance(module, torch.nn.Linear)][-1]
    seen: list[torch.Tensor] = []
    hook = last.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0].detach()))
    with torch.no_grad():
        model(to_input(torch.from_numpy(np.array(data.images[train])), config))
        features = seen[0].numpy()
        scale = 1 / features.std()
        fitted = LogisticRegression(max_iter=300).fit(features * scale, data.labels[train])
        last.weight.copy_(torch.from_numpy(fitted.coef_ * scale))
        last.bias.copy_(torch.from_numpy(fitted.intercept_))
    hook.remove()
    given = {
        "name": "lenet5-pictures",
        "subject": "picture",
        "recipe": "lenet5_pictures",
        "architecture": "lenet5",
        "classes": data.classes,
        "input": config,
        "packed_size": data.size,
        "packed_channels": data.channels,
        "initial_weights": "random, as the recipe says",
        "digests": {"dataset": data.digest, "recipe": "sha256:r"},
    }
    save_model(folder, model, ModelInfo.model_validate({**given, **changes}))
    write_curves(folder, history([0.9, 0.6, 0.5, 0.52]))
    return folder
