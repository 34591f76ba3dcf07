"""Whether the report can tell a heat map that follows the model and the disease from one that does not."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

from imaging.config import InputConfig
from imaging.data.dataset import TEXT_COLUMNS, load_dataset, write_dataset
from imaging.data.regions import boxes_text
from imaging.data.splits import split_on_disk
from imaging.data.statistics import image_statistics
from imaging.evaluation.explanation import measure_explanation
from imaging.evaluation.explanation_plot import draw_explanation
from imaging.evaluation.explanation_schema import Explanation, Randomised
from imaging.evaluation.explanation_verdict import judge
from imaging.evaluation.figure import Figure
from imaging.evaluation.randomised_maps import draw_anew, spearman
from imaging.evaluation.report import Case
from imaging.evaluation.sheet import explain_cases, one_for_each_reason
from imaging.evaluation.subject import Subject, answer_test_part, load_subject
from imaging.inference import Predictor
from imaging.models.directory import ModelInfo

SIZE, CONFIG = 48, InputConfig(size=48, channels=1, mean=(0.3,), std=(0.2,))
LUNGS = boxes_text([(0.1, 0.1, 0.45, 0.9), (0.55, 0.1, 0.9, 0.9)])


def write_spotted(folder: Path, *, patients: int = 120, mislabelled: bool = False) -> Path:
    """Pictures of which the ill have a bright spot somewhere in a lung, and say where; or, wrongly, elsewhere."""
    rng = np.random.default_rng(0)
    labels = np.arange(patients) % 2
    images = rng.normal(70, 12, (patients, SIZE, SIZE))
    lesions = []
    for image, label in zip(images, labels, strict=True):
        row, column = rng.integers(8, 32), rng.choice([7, 29])
        if label:
            image[row : row + 10, column : column + 10] += 130
        box = (column / SIZE, row / SIZE, (column + 10) / SIZE, (row + 10) / SIZE)
        lesions.append(boxes_text([(0.0, 0.95, 0.05, 1.0) if mislabelled else box]) if label else "")
    packed = images.clip(0, 255).astype(np.uint8)
    folder.mkdir(parents=True)
    np.save(folder / "images.npy", packed)
    table = {name: np.full(patients, "", dtype=object) for name in TEXT_COLUMNS}
    table |= {
        "label": np.where(labels == 1, "ill", "well"),
        "patient": np.array([f"{index:016x}" for index in range(patients)]),
        "view": np.full(patients, "PA"),
        "rows": np.full(patients, SIZE),
        "columns": np.full(patients, SIZE),
        "pixel_sha256": np.array([f"{index:064x}" for index in range(patients)]),
        "lesions": np.array(lesions),
        "lungs": np.full(patients, LUNGS),
        **image_statistics(packed),
    }
    write_dataset(folder, table, size=SIZE, facts={"name": "spotted"})
    return folder


class SpotFinder(nn.Module):
    """Eight features of each place, of which the first is its brightness above that of tissue and says `ill`."""

    def __init__(self) -> None:
        super().__init__()
        look = nn.Conv2d(1, 8, 6, stride=6)
        generator = torch.Generator().manual_seed(0)
        look.weight.data = 0.03 * torch.randn(look.weight.shape, generator=generator)
        look.weight.data[0], look.bias.data[:] = 1 / 36, 0
        look.bias.data[0] = -1
        self.features = nn.Sequential(nn.Sequential(look, nn.ReLU()))
        self.classifier = nn.Linear(8, 2)
        self.classifier.weight.data = 0.1 * torch.randn((2, 8), generator=generator)
        self.classifier.weight.data[:, 0] = torch.tensor([30.0, -30.0])
        self.classifier.bias.data = torch.tensor([-1.0, 1.0])

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.features(images).mean((2, 3)))


def subject_of(root: Path, *, mislabelled: bool = False) -> Subject:
    data = load_dataset(write_spotted(root / "data", mislabelled=mislabelled))
    split = split_on_disk(data.path, root / "split.json")
    info = ModelInfo(recipe="spots", architecture="small_cnn", classes=data.classes, input=CONFIG, packed_size=SIZE)
    predictor = Predictor(SpotFinder(), info)
    return Subject(directory=root, predictor=predictor, data=data, split=split, labels=data.labels)


@pytest.fixture(scope="module")
def spotted(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    return subject_of(tmp_path_factory.mktemp("spotted"))


def explained(subject: Subject) -> Explanation:
    return measure_explanation(subject, answer_test_part(subject, resamples=100, seed=0))


def test_a_model_that_found_the_spots_has_maps_that_follow_it_and_point_at_them(spotted: Subject) -> None:
    found = explained(spotted)
    assert found.verdict == "believable", found.statement
    assert found.hit_rate.value > 0.6 > 4 * found.lesion_area
    assert found.lesion_share.value > 2 * found.lesion_area
    assert found.lung_share.value > found.lung_area
    assert {one.part for one in found.randomised} == {"head", "head and last block"}
    assert all(one.correlation.value < 0.5 for one in found.randomised)
    assert found.n_images == len(spotted.test)
    assert found == explained(spotted)
    assert draw_explanation(found) == draw_explanation(found)


def test_maps_that_miss_the_marked_places_are_doubted(tmp_path: Path) -> None:
    found = explained(subject_of(tmp_path, mislabelled=True))
    assert found.verdict == "doubtful"
    assert found.hit_rate.value < 0.1
    assert "no oftener than chance explains" in found.statement


def test_a_map_too_coarse_to_show_a_place_is_not_judged(finished) -> None:
    found = explained(load_subject(finished.calibrated, finished.dataset, finished.split))
    assert (found.verdict, found.cells) == ("unknown", 1)
    assert "1 x 1 cells, too few to show a place" in found.statement


def correlated(head: float | None, block: float | None) -> tuple[Randomised, ...]:
    return (
        Randomised(part="head", correlation=Figure(value=head), n_images=8),
        Randomised(part="head and last block", correlation=Figure(value=block), n_images=8),
    )


def drawn(**changes: object) -> Explanation:
    figures = {"border_share": Figure(value=0.2), "border_area": 0.44, "randomised": correlated(0.1, 0.2)}
    return Explanation(**{"verdict": "unknown", "statement": "", **figures, **changes})


@pytest.mark.parametrize(
    ("found", "verdict", "words"),
    [
        (drawn(randomised=correlated(0.1, 0.9)), "doubtful", "hardly depends on what the model learnt"),
        (drawn(randomised=correlated(None, 0.1)), "unknown", "the maps show no heat"),
        (drawn(), "untested", "lesions are marked in none of the images"),
        (drawn(border_share=Figure(value=0.6)), "doubtful", "60 % of its heat lies at the image's border"),
        (drawn(lung_share=Figure(value=0.2), lung_area=0.4), "doubtful", "only 20 % of its heat lies in the lungs"),
    ],
)
def test_the_verdict_is_a_sentence_by_rule(found: Explanation, verdict: str, words: str) -> None:
    judged = judge(found)
    assert judged.verdict == verdict
    assert words in judged.statement


def test_where_heat_lies_is_not_asked_of_pictures() -> None:
    judged = judge(drawn(border_share=Figure(value=0.9)), is_radiograph=False)
    assert judged.verdict == "untested"


def test_the_rank_correlation_is_scipys_and_a_flat_map_shares_nothing() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.integers(0, 5, (4, 49)).astype(float), rng.normal(size=(4, 49))
    expected = [spearmanr(a, b).statistic for a, b in zip(one, other, strict=True)]
    np.testing.assert_allclose(spearman(one, other), expected)
    assert spearman(one, np.zeros_like(one)).tolist() == [0] * 4
    assert np.isnan(spearman(np.zeros_like(one), other)).all()


def test_weights_drawn_anew_are_others_of_the_same_spread_and_the_same_twice() -> None:
    layers = [torch.nn.Linear(200, 50) for _ in range(2)]
    layers[1].load_state_dict(layers[0].state_dict())
    before = layers[0].weight.detach().clone()
    for layer in layers:
        draw_anew(layer, seed=1)
    assert torch.equal(layers[0].weight, layers[1].weight)
    assert abs(np.corrcoef(before.flatten(), layers[0].weight.detach().flatten())[0, 1]) < 0.05
    torch.testing.assert_close(layers[0].weight.std(), before.std(), rtol=0.05, atol=0)


def test_referred_cases_are_others_than_right_and_wrong_ones_and_say_why(finished) -> None:
    subject = load_subject(finished.calibrated, finished.dataset, finished.split)
    right, wrong, referred = explain_cases(subject, answer_test_part(subject, resamples=20, seed=0))
    assert right
    assert referred
    assert all(case.decision == "refer" and case.reasons for case in referred)
    assert not {case.plain for case in referred} & {case.plain for case in (*right, *wrong)}


def test_referred_cases_show_different_reasons_first() -> None:
    case = Case(overlay=b"", plain=b"", truth="a", prediction="a", probability=0.5, decision="refer")
    same = [replace(case, reasons=("low_confidence",)) for _ in range(9)]
    chosen = one_for_each_reason([*same, replace(case, reasons=("view_unknown",)), replace(case, decision="report")])
    assert [one.reasons[0] for one in chosen] == ["low_confidence", "view_unknown", *["low_confidence"] * 4]
