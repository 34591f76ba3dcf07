"""Which runtime a model gets, and that each answers as torch does: features, logits, doubt and explanation."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from imaging.config import InputConfig
from imaging.errors import ConfigurationError, ModelPackageError
from imaging.inference import Predictor
from imaging.models import build_model
from imaging.models.directory import ModelInfo, save_model
from imaging.models.onnx_export import export_files
from imaging.models.runtimes import choice
from imaging.models.runtimes.choice import choose_runtime

CLASSES = ("normal", "pneumonia", "covid")
SIZE = 64
IMAGES = np.random.default_rng(0).integers(0, 256, (5, SIZE, SIZE), dtype=np.uint8)


def write_model(directory: Path, architecture: str, *, with_exports: bool = True) -> Path:
    torch.manual_seed(3)
    model = build_model(architecture, num_classes=3, channels=3, dropout=0.2)
    for layer in model.modules():  # as if trained: statistics that are not those of noise
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.running_mean.uniform_(-0.2, 0.2)
            layer.running_var.uniform_(0.6, 1.4)
    config = InputConfig(size=SIZE)
    info = ModelInfo(recipe="r", architecture=architecture, classes=CLASSES, input=config, packed_size=SIZE, seed=0)
    save_model(directory, model, info)
    if with_exports:
        for name, content in export_files(model, config, IMAGES).items():
            (directory / name).write_bytes(content)
    return directory


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model"), "resnet18")


@pytest.mark.parametrize("architecture", ["resnet18", "densenet121", "mobilenet_v2", "small_cnn"])
@pytest.mark.parametrize("explain", ["grad-cam", "grad-cam++"])
def test_onnx_runtime_answers_and_explains_as_torch_does(tmp_path, architecture, explain):
    write_model(tmp_path, architecture)
    ours, theirs = (Predictor.load(tmp_path, runtime=name) for name in ("torch", "onnx"))
    assert (ours.runtime.name, theirs.runtime.name) == ("torch-fp32", "onnxruntime-fp32")
    for one, other in zip(ours.predict(IMAGES, explain=explain), theirs.predict(IMAGES, explain=explain), strict=True):
        assert list(one.probabilities.values()) == pytest.approx(list(other.probabilities.values()), abs=1e-5)
        assert one.mutual_information_nats == pytest.approx(other.mutual_information_nats, abs=1e-5)
        assert one.heat_map == pytest.approx(other.heat_map, abs=1e-3)


def test_an_image_gets_the_same_answer_in_any_batch(directory):
    predictor = Predictor.load(directory, runtime="onnx")
    together = predictor.probabilities(IMAGES)
    alone = np.concatenate([predictor.probabilities(IMAGES[i : i + 1]) for i in range(len(IMAGES))])
    assert alone == pytest.approx(together, abs=1e-5)


def test_rounded_weights_are_taken_when_a_person_asks_for_them(directory):
    rounded = Predictor.load(directory, runtime="onnx-int8")
    assert rounded.runtime.name == "onnxruntime-int8"
    exact = Predictor.load(directory).probabilities(IMAGES)
    assert rounded.probabilities(IMAGES) == pytest.approx(exact, abs=0.1)
    assert not np.allclose(rounded.probabilities(IMAGES), exact, atol=1e-6)


class Clock:
    """Time that a runtime takes by its name; none passes otherwise."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def slow(runtime, clock: Clock, seconds: float, shift: float = 0.0) -> SimpleNamespace:
    """The runtime, as slow as told, its logits moved by `shift` in one class."""

    def run(inputs):
        clock.now += seconds
        passed = runtime.run(inputs)
        moved = passed.logits + torch.tensor([shift, 0.0, 0.0])
        return SimpleNamespace(features=passed.features, last=passed.last, logits=moved)

    return SimpleNamespace(name=runtime.name, run=run, device=torch.device("cpu"), tail=runtime.tail)


@pytest.mark.parametrize(
    ("torch_s", "onnx_s", "shift", "expected"),
    [
        (2.0, 1.0, 0.0, "onnxruntime-fp32"),
        (1.0, 2.0, 0.0, "torch-fp32"),
        (2.0, 1.0, 0.01, "torch-fp32"),
        (2.0, 1.0, float("nan"), "torch-fp32"),
    ],
)
def test_the_fastest_that_answers_alike_is_chosen(directory, monkeypatch, torch_s, onnx_s, shift, expected):
    clock = Clock()
    eager = slow(Predictor.load(directory).runtime, clock, torch_s)
    other = slow(Predictor.load(directory, runtime="onnx").runtime, clock, onnx_s, shift)
    monkeypatch.setattr(choice.Onnx, "load", lambda *_args, **_more: other)
    found = choose_runtime("auto", eager, directory, config=InputConfig(size=SIZE), clock=clock)
    assert found.runtime.name == expected
    assert {one.name for one in found.tried} == {"torch-fp32", "onnxruntime-fp32"}
    assert all(one.milliseconds > 0 for one in found.tried)
    assert bool(next(one for one in found.tried if one.name == "onnxruntime-fp32").why_not) == (shift != 0)


def test_a_model_without_exports_is_served_by_torch_and_asked_for_onnx_says_what_is_missing(tmp_path):
    write_model(tmp_path, "small_cnn", with_exports=False)
    assert Predictor.load(tmp_path, runtime="auto").runtime.name == "torch-fp32"
    with pytest.raises(ModelPackageError, match=r"holds no model\.onnx"):
        Predictor.load(tmp_path, runtime="onnx")


def test_an_export_without_features_is_told_apart(tmp_path, directory):
    import onnx

    write_model(tmp_path, "resnet18", with_exports=False)
    graph = onnx.load(directory / "model.onnx")
    del graph.graph.output[1]
    (tmp_path / "model.onnx").write_bytes(graph.SerializeToString())
    assert Predictor.load(tmp_path, runtime="auto").runtime.name == "torch-fp32"
    with pytest.raises(ModelPackageError, match="earlier release"):
        Predictor.load(tmp_path, runtime="onnx")


def test_what_there_is_not_is_refused_with_what_there_is(directory):
    with pytest.raises(ConfigurationError, match="onnx-int8"):
        Predictor.load(directory, runtime="tpu")  # type: ignore[arg-type]
    elsewhere = SimpleNamespace(device=torch.device("cuda"), tail=None, name="torch-fp32")
    with pytest.raises(ConfigurationError, match="for processors"):
        choose_runtime("onnx", elsewhere, directory, config=InputConfig(size=SIZE))  # type: ignore[arg-type]
    assert choose_runtime("auto", elsewhere, directory, config=InputConfig(size=SIZE)).runtime is elsewhere  # type: ignore[arg-type]
