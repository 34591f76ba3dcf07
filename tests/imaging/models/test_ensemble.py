"""Several networks that answer as one: their mean, on disk, explained, exported, and how far they disagree."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax

from imaging.config import InputConfig
from imaging.errors import ConfigurationError, ModelPackageError
from imaging.explain.grad_cam import grad_cam
from imaging.inference import Predictor
from imaging.models import build_model
from imaging.models.directory import ModelInfo, load_info, load_model, save_model
from imaging.models.ensemble import Ensemble, mean_logits
from imaging.models.joining import join_models
from imaging.models.layers import Tail, feature_depth, layout_of, trunk
from imaging.models.mc_dropout import entropy_nats
from imaging.models.onnx_export import export_fp32
from imaging.models.onnx_session import load_session, session_logits
from tests.imaging.training.factories import living_network

CLASSES = ("covid", "normal", "pneumonia")
SIZE = 64
INPUT = InputConfig(size=SIZE)


def network(seed: int, architecture: str = "mobilenet_v2") -> torch.nn.Module:
    """A network whose answers differ from image to image and from seed to seed."""
    model = living_network(architecture)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head = model.get_submodule(layout_of(model).head)
        for layer in head.modules():
            if isinstance(layer, torch.nn.Linear):
                torch.nn.init.normal_(layer.weight, std=0.3)
    return model.eval()


def info(**changes: object) -> ModelInfo:
    fields = {"recipe": "r", "architecture": "mobilenet_v2", "classes": CLASSES, "input": INPUT, "packed_size": SIZE}
    return ModelInfo.model_validate({**fields, "digests": {"dataset": "d", "split": "s"}, **changes})


def pictures(count: int = 4) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (count, SIZE, SIZE), dtype=np.uint8)


@pytest.fixture
def directories(tmp_path: Path) -> list[Path]:
    for seed in (1, 2, 3):
        save_model(tmp_path / str(seed), network(seed), info(seed=seed, initial_weights=f"file {seed}"))
        (tmp_path / str(seed) / "curves.json").write_text("{}")
    return [tmp_path / str(seed) for seed in (1, 2, 3)]


@given(st.integers(0, 1000), st.integers(2, 5))
@settings(max_examples=30, deadline=None)
def test_the_answer_is_the_mean_of_the_members_probabilities(seed, members):
    logits = np.random.default_rng(seed).normal(size=(members, 6, 3)) * 4
    expected = softmax(logits, axis=2).mean(axis=0)
    assert softmax(mean_logits(torch.from_numpy(logits)).numpy(), axis=1) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    "architecture", ["mobilenet_v2", "resnet18", "densenet121", "small_cnn", "vit_b_16", "mnasnet0_5"]
)
def test_its_parts_side_by_side_are_the_whole_for_every_layout(architecture):
    size = 224 if architecture == "vit_b_16" else 64
    torch.manual_seed(0)
    members = [build_model(architecture, num_classes=3, size=size).eval() for _ in range(2)]
    ensemble, images = Ensemble(members).eval(), torch.randn(2, 3, size, size)
    with torch.no_grad():
        depth = feature_depth(ensemble)
        found = Tail(ensemble, depth)(trunk(ensemble, depth)(images))
        assert found.numpy() == pytest.approx(ensemble(images).numpy(), abs=1e-5)
        alone = torch.stack([member(images) for member in members])
        assert found.numpy() == pytest.approx(mean_logits(alone).numpy(), abs=1e-5)


def test_one_network_several_times_is_that_network(tmp_path):
    save_model(tmp_path / "one", network(1), info())
    for number in (2, 3):
        save_model(tmp_path / str(number), network(1), info())
    join_models([tmp_path / "one", tmp_path / "2", tmp_path / "3"], tmp_path / "all")
    one, together = Predictor.load(tmp_path / "one"), Predictor.load(tmp_path / "all")
    assert together.probabilities(pictures()) == pytest.approx(one.probabilities(pictures()), abs=1e-6)
    assert together.doubt(pictures()).mutual_information_nats == pytest.approx(np.zeros(4), abs=1e-6)
    maps = [predictor.predict(pictures(), explain="grad-cam") for predictor in (one, together)]
    for mine, theirs in zip(*maps, strict=True):
        assert theirs.heat_map == pytest.approx(mine.heat_map, abs=2e-3)


def test_members_that_disagree_say_so_and_never_by_more_than_the_entropy(directories, tmp_path):
    join_models(directories, tmp_path / "all")
    predictor = Predictor.load(tmp_path / "all")
    doubt = predictor.doubt(pictures(8))
    alone = np.stack([Predictor.load(one).probabilities(pictures(8)) for one in directories])
    expected = entropy_nats(alone.mean(axis=0)) - entropy_nats(alone).mean(axis=0)
    assert doubt.mutual_information_nats == pytest.approx(expected, abs=1e-5)
    assert doubt.mutual_information_nats.max() > 0.01
    assert (doubt.mutual_information_nats <= entropy_nats(doubt.probabilities) + 1e-9).all()


def test_an_ensemble_is_a_model_directory_like_any_other(directories, tmp_path):
    joined = join_models(directories, tmp_path / "all")
    read = load_info(tmp_path / "all")
    assert read == joined
    assert (read.members, read.temperature, read.operating_points) == (3, 1.0, {})
    assert read.initial_weights == "file 1; file 2; file 3"
    assert (tmp_path / "all" / "curves.json").is_file()
    network = load_model(tmp_path / "all", read)
    assert {name.split(".")[0] for name in network.state_dict()} == {"members"}
    alone = np.stack([Predictor.load(one).probabilities(pictures()) for one in directories]).mean(axis=0)
    assert Predictor.load(tmp_path / "all").probabilities(pictures()) == pytest.approx(alone, abs=1e-6)


def test_weights_of_fewer_members_are_no_ensemble(directories, tmp_path):
    join_models(directories[:2], tmp_path / "two")
    with pytest.raises(ModelPackageError, match="is not a mobilenet_v2"):
        load_model(tmp_path / "two", load_info(tmp_path / "two").model_copy(update={"members": 3}))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"classes": ("covid", "normal", "effusion")}, "2 has classes"),
        ({"packed_size": 32}, "2 has packed_size 32"),
        ({"input": InputConfig(size=64, tone="equalise")}, "2 has input"),
        ({"digests": {"dataset": "d", "split": "other"}}, "another split"),
        ({"members": 2}, "is an ensemble already"),
    ],
)
def test_networks_that_cannot_answer_together_are_not_joined(changes, said, directories, tmp_path):
    save_model(directories[1], network(2), info(**changes))
    with pytest.raises(ConfigurationError, match=said):
        join_models(directories, tmp_path / "all")
    assert not (tmp_path / "all").exists()


def test_one_network_is_no_ensemble(directories, tmp_path):
    with pytest.raises(ConfigurationError, match="at least 2 members"):
        join_models(directories[:1], tmp_path / "all")


def test_its_export_answers_as_it_does(directories, tmp_path):
    join_models(directories[:2], tmp_path / "all")
    predictor = Predictor.load(tmp_path / "all")
    (tmp_path / "model.onnx").write_bytes(export_fp32(predictor.model, INPUT))
    theirs = session_logits(load_session(tmp_path / "model.onnx"), pictures(), INPUT)
    assert softmax(theirs, axis=1) == pytest.approx(predictor.probabilities(pictures()), abs=1e-4)


@pytest.mark.parametrize("method", ["grad-cam", "grad-cam++"])
@pytest.mark.parametrize("architecture", ["mobilenet_v2", "vgg11", "vit_b_16"])
def test_a_heat_map_of_the_same_network_twice_is_that_networks(architecture, method):
    size = 224 if architecture == "vit_b_16" else 64
    torch.manual_seed(0)
    one = build_model(architecture, num_classes=3, size=size).eval()
    images, targets = torch.randn(2, 3, size, size), torch.tensor([0, 2])
    alone = grad_cam(one, images, targets, method=method, size=8)
    twice = Ensemble([one, copy.deepcopy(one)]).eval()
    assert grad_cam(twice, images, targets, method=method, size=8) == pytest.approx(alone, abs=1e-3)


def test_a_heat_map_adds_up_what_each_member_sees():
    members = [network(seed) for seed in (1, 2)]
    images, target = torch.randn(1, 3, SIZE, SIZE), torch.tensor([1])
    with torch.no_grad():
        seen = [member.features(images) for member in members]
        each = [
            torch.einsum("f,nfhw->nhw", member.classifier[-1].weight[1], features)
            for member, features in zip(members, seen, strict=True)
        ]
    expected = sum(each).relu()
    found = grad_cam(Ensemble(members).eval(), images, target, size=expected.shape[-1])
    assert found == pytest.approx((expected / expected.max()).numpy(), abs=1e-4)


def test_one_logit_a_member_answers_as_the_mean_too():
    torch.manual_seed(0)
    members = [build_model("small_cnn", num_classes=2, size=32, single_logit=True).eval() for _ in range(3)]
    images = torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        expected = torch.stack([member(images).softmax(1) for member in members]).mean(0)
        assert Ensemble(members).eval()(images).softmax(1).numpy() == pytest.approx(expected.numpy(), abs=1e-6)


def test_what_was_fitted_to_one_member_is_not_the_ensembles(directories, tmp_path):
    fitted = {"temperature": 2.0, "operating_points": {"covid": 0.4}, "operating_point_rule": "some rule"}
    save_model(directories[0], network(1), info(**fitted))
    joined = join_models(directories, tmp_path / "all")
    assert (joined.temperature, joined.operating_points, joined.operating_point_rule) == (1.0, {}, "")


@pytest.mark.parametrize("temperature", [0.3, 1.0, 3.0])
def test_members_never_disagree_by_more_than_the_answers_own_entropy(temperature, directories, tmp_path):
    join_models(directories, tmp_path / "all", temperature=temperature)
    doubt = Predictor.load(tmp_path / "all").doubt(pictures(8))
    assert (doubt.mutual_information_nats <= entropy_nats(doubt.probabilities) + 1e-12).all()


def test_a_heat_map_is_the_same_for_an_image_alone_and_in_a_batch(directories, tmp_path):
    join_models(directories, tmp_path / "all")
    model = load_model(tmp_path / "all", load_info(tmp_path / "all"))
    images, targets = torch.randn(3, 3, SIZE, SIZE), torch.tensor([0, 1, 2])
    together = grad_cam(model, images, targets, size=16)
    alone = np.concatenate([grad_cam(model, images[n : n + 1], targets[n : n + 1], size=16) for n in range(3)])
    assert together == pytest.approx(alone, abs=1e-3)
    assert together.max() == pytest.approx(1)
