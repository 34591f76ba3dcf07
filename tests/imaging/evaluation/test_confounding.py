import csv

import numpy as np
import pytest
from PIL import Image
from scipy.stats.contingency import association

from imaging.evaluation.confounding import border_features, border_probe, contingency, cramers_v, source_confounding
from imaging.evaluation.limits import plain_limits
from imaging.evaluation.schema import Figure

CLASSES = ("covid", "normal", "pneumonia")
LABELS = np.arange(300) % 3
PATIENTS = np.arange(300).astype(str)
NOTHING_IN_THE_BORDER = Figure(value=0.34, low=0.28, high=0.40)
TELLING_BORDER = Figure(value=0.75, low=0.70, high=0.80)


def judge(columns, border=NOTHING_IN_THE_BORDER, patients=PATIENTS):
    return source_confounding(LABELS, patients, columns, classes=CLASSES, border=border)


def test_a_class_with_sources_of_its_own_is_named():
    found = judge({"source": np.where(LABELS == 0, "articles", "hospital")})
    assert found.confounded
    assert [name for name, one in found.classes.items() if one.confounded] == ["covid"]
    assert found.statements[0] == (
        "covid is confounded with its source: every covid image comes from sources that hold no other class"
    )
    assert found.source_only_balanced_accuracy == pytest.approx(2 / 3)


def test_a_few_strays_do_not_hide_it():
    sources = np.where(LABELS == 0, "articles", "hospital")
    sources[[1, 2, 4]] = "articles"
    one = judge({"source": sources}).classes["covid"]
    assert one.exclusive_share == 0
    assert one.dominated_share == 1
    assert one.confounded


def test_classes_from_the_same_sources_are_not_confounded():
    found = judge({"source": np.where(np.arange(300) // 3 % 2, "A", "B")})
    assert not found.confounded
    assert found.cramers_v < 0.1
    assert "no class is confounded with its source" in found.statements


def test_one_source_for_all_is_not_confounded():
    found = judge({"source": np.full(300, "A")})
    assert not found.confounded
    assert found.source_only_balanced_accuracy == pytest.approx(1 / 3)


def test_a_source_for_every_patient_is_pooled_and_tells_nothing():
    assert not judge({"source": PATIENTS}).confounded


def test_the_most_telling_column_is_the_one_reported():
    columns = {
        "source": np.full(300, "A"),
        "site": np.where(LABELS == 1, "north", "south"),
        "manufacturer": np.full(300, ""),
    }
    found = judge(columns)
    assert found.column == "site"
    assert found.classes["normal"].confounded


def test_without_a_recorded_origin_the_report_says_it_cannot_know():
    found = judge({"source": np.full(300, "")})
    assert found.column is None
    assert "cannot be ruled out" in found.statements[0]


def test_a_telling_border_is_said_with_its_figure():
    found = judge({"source": np.full(300, "A")}, border=TELLING_BORDER)
    assert found.shortcut
    assert (
        "the image border alone, which holds no lung, gives 0.75 balanced accuracy (chance 0.33)"
        in found.statements[-1]
    )
    assert not judge({"source": np.full(300, "A")}).shortcut


def test_cramers_v_is_the_biased_one_of_scipy_less_a_small_correction():
    table = contingency(LABELS, np.where((LABELS == 0) & (np.arange(300) % 2 == 0), "A", "B"), 3)
    assert cramers_v(table) == pytest.approx(association(table.astype(int), method="cramer"), abs=0.02)
    assert cramers_v(np.diag([50.0, 50.0, 50.0])) == pytest.approx(1)


def test_the_border_probe_sees_the_frame_and_nothing_else():
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 60, size=(300, 56, 56))
    lungs, frames = noise.copy(), noise.copy()
    lungs[:, 8:48, 8:48] += 60 * LABELS[:, None, None]
    frames[:, :4] += 60 * LABELS[:, None, None]

    def accuracy(images: np.ndarray) -> float:
        features = border_features(images.astype(np.uint8))
        half = (features[:150], LABELS[:150]), (features[150:], LABELS[150:])
        return border_probe(*half, PATIENTS[150:], n_classes=3, resamples=50, seed=0).value

    assert accuracy(frames) > 0.95
    assert accuracy(lungs) < 0.5


def test_a_probe_without_every_class_in_training_is_missing_and_said_so():
    features = np.zeros((6, 4), dtype=np.float32)
    probe = border_probe(
        (features, np.zeros(6, int)), (features, LABELS[:6]), PATIENTS[:6], n_classes=3, resamples=5, seed=0
    )
    assert probe.value is None
    assert "could not be computed" in judge({"source": np.full(300, "A")}, border=probe).statements[-1]


def test_limits_shout_about_random_weights_and_put_confounding_before_the_rest():
    confounding = judge({"source": np.where(LABELS == 0, "articles", "hospital")}, border=TELLING_BORDER)
    said = plain_limits(initial_weights="random", confounding=confounding, subgroups=(), count="90 test patients")
    assert said[0].startswith("TRAINED FROM RANDOM WEIGHTS")
    assert said[1] == confounding.statements[0]
    assert any("fit for patients" in one for one in said)
    pretrained = plain_limits(
        initial_weights="imagenet:sha256:1", confounding=confounding, subgroups=(), count="90 test patients"
    )
    assert not any("RANDOM" in one for one in pretrained)


@pytest.mark.real_data
def test_the_real_set_is_found_to_be_confounded(real_data):
    with (real_data / "xray3" / "manifest.csv").open() as file:
        rows = list(csv.DictReader(file))
    labels = np.array([CLASSES.index(row["label"]) for row in rows])
    patients = np.array([row["patient_id"] for row in rows])
    sources = {"source": np.array([row["source"] for row in rows])}
    images = np.stack(
        [np.asarray(Image.open(real_data / "xray3" / row["file"]).convert("L").resize((112, 112))) for row in rows]
    )
    features = border_features(images)
    train, test = (np.array([row["split"] == part for row in rows]) for part in ("train", "test"))
    border = border_probe(
        (features[train], labels[train]),
        (features[test], labels[test]),
        patients[test],
        n_classes=3,
        resamples=200,
        seed=0,
    )
    found = source_confounding(labels, patients, sources, classes=CLASSES, border=border)
    assert found.shortcut
    assert [name for name, one in found.classes.items() if one.confounded] == ["covid"]
