import csv
import json

import numpy as np
import pytest
from PIL import Image

from imaging.evaluation.confounding import not_asked as confounding_not_asked
from imaging.evaluation.evaluate import Answers
from imaging.evaluation.figure import Figure
from imaging.evaluation.limits import plain_limits
from imaging.evaluation.schema import Evaluation
from imaging.evaluation.shortcut_features import read_features, size_features, text_features
from imaging.evaluation.shortcut_statements import first_screen, is_found, statements
from imaging.evaluation.shortcuts import (
    CENTRE,
    ask_without_lungs,
    fit_and_score,
    judge_probes,
    paint_over,
    shortcuts_of,
)
from imaging.evaluation.shortcuts_plot import draw_shortcuts
from imaging.evaluation.shortcuts_schema import Occlusion
from tests.imaging.evaluation.factories import CLASSES

COUNT, SIDE = 240, 112
LABELS = np.arange(COUNT) % 3
PATIENTS = np.array([f"p{index}" for index in range(COUNT)])
NOISE = np.random.default_rng(0).integers(20, 110, size=(COUNT, SIDE, SIDE)).astype(np.uint8)
ALIKE = {"rows": np.full(COUNT, 900), "columns": np.full(COUNT, 800)}
OUTSIDE = ("border", "corners", "text", "size")


def look(images, *, labels=LABELS, sizes=ALIKE, patients=PATIENTS, train=None, resamples=100):
    """Fit on the first half or on `train`, judge on the rest; the model beside it knows every answer."""
    half = np.arange(len(labels)) < len(labels) // 2 if train is None else train
    rows, others = np.flatnonzero(half), np.flatnonzero(~half)
    seen, asked = read_features(images, rows), read_features(images, others)
    seen["size"], asked["size"] = size_features(sizes, rows, others)
    scores = {
        name: fit_and_score(seen[name], labels[rows], asked[name])
        for name in seen
        if (seen[name] != seen[name][0]).any()
    }
    return judge_probes(
        scores,
        np.eye(3)[labels[others]],
        labels[others],
        patients[others],
        classes=CLASSES,
        resamples=resamples,
        seed=0,
    )


def telling(found):
    return {one.name for one in found.probes if one.tells}


def without_lungs(figure, *, still):
    whole = Figure(value=0.95, low=0.9, high=0.98)
    return Occlusion(
        n_images=90, n_patients=90, whole=whole, without_centre=figure, only_centre=whole, still_answers=still
    )


def letters(images, where):
    """Write an `R` of white strokes two pixels wide into some images."""
    for top, left, height, width in ((4, 4, 12, 2), (4, 4, 2, 8), (9, 4, 2, 8), (4, 10, 7, 2), (11, 8, 5, 2)):
        images[where, top : top + height, left : left + width] = 235
    return images


def test_nothing_is_told_from_noise():
    found = look(NOISE)
    assert not telling(found)
    assert statements(found)[0].startswith("neither border nor corners, letters or size tell the classes")
    assert first_screen(found) == ()


def test_disease_in_the_lungs_is_no_shortcut():
    images = NOISE.copy()
    images[:, 36:76, 30:80] += (50 * LABELS)[:, None, None].astype(np.uint8)
    found = look(images)
    assert telling(found) <= {"histogram"}
    assert not is_found(found)
    assert "proves nothing by itself" in statements(found)[-1]


def test_a_frame_that_differs_by_class_is_found_and_said_first_with_its_class():
    images = NOISE.copy()
    images[LABELS == 0, :4] += 40
    found = look(images)
    assert "border" in telling(found)
    assert is_found(found)
    said = first_screen(found)[0]
    assert said.startswith("the image border alone, which holds no lung, tells covid from the rest with AUROC 1.00")
    assert "chance is 0.50, the model has 1.00" in said


def test_corners_are_found():
    images = NOISE.copy()
    images[LABELS == 2, -16:, -16:] += 12
    assert "corners" in telling(look(images))


def test_letters_are_found_wherever_along_the_edge_they_are():
    images = NOISE.copy()
    shifts = np.random.default_rng(1).integers(0, 8, size=(COUNT, 2))
    for index in np.flatnonzero(LABELS == 1):
        drawn = letters(np.zeros((1, SIDE, SIDE), dtype=np.uint8), 0)[0]
        images[index] = np.maximum(images[index], np.roll(drawn, shifts[index], axis=(0, 1)))
    found = look(images)
    assert "text" in telling(found)
    assert next(one for one in found.probes if one.name == "text").best_class == "normal"


def test_a_letter_is_one_piece_and_broad_or_central_things_are_none():
    images = np.full((4, SIDE, SIDE), 40, dtype=np.uint8)
    letters(images, 0)
    images[1, :24, :24] = 235
    images[2, 50:62, 55:57] = 235
    share, pieces, contrast = np.moveaxis(text_features(images).reshape(4, 8, 3), 2, 0)
    assert pieces[0].tolist() == [1, 0, 0, 0, 0, 0, 0, 0]
    assert contrast[0, 0] == pytest.approx(195 / 255)
    assert share[1:].max() == pieces[1:].max() == 0


def test_the_size_of_the_file_is_found_and_one_size_for_all_is_said_to_be_nothing():
    sizes = {"rows": np.where(LABELS == 0, 600, 1024), "columns": np.full(COUNT, 1024)}
    assert telling(look(NOISE, sizes=sizes)) == {"size"}
    alike = next(one for one in look(NOISE).probes if one.name == "size")
    assert alike.macro_auroc.value is None
    assert alike.problem == "all training images are the same in this"


def test_colour_is_looked_at_as_grey():
    images = np.stack([NOISE[:6]] * 3, axis=3)
    grey, colour = read_features(NOISE, np.arange(6)), read_features(images, np.arange(6))
    assert all(np.allclose(grey[name], colour[name]) for name in grey)


def test_a_training_part_without_a_class_is_said_and_nothing_is_claimed():
    found = judge_probes({}, np.eye(3)[LABELS], LABELS, PATIENTS, classes=CLASSES, resamples=20, seed=0)
    assert not telling(found)
    assert statements(found)[0].endswith("could not be computed: the training part lacks a class")


def test_what_is_painted_over_is_three_fifths_of_the_image_or_the_rest_and_the_same_grey_everywhere():
    without, only = paint_over(NOISE)
    changed, kept = (without != NOISE).any(axis=0), (only == NOISE).all(axis=0)
    assert changed.mean() == pytest.approx(CENTRE, abs=0.02)
    assert (changed == kept).all()
    assert len(np.unique(without[:, changed])) == len(np.unique(only[:, ~kept])) == 1


def test_a_model_that_reads_the_frame_still_answers_without_lungs_and_one_that_reads_lungs_does_not():
    images = NOISE.copy()
    images[:, :6] += (30 * LABELS)[:, None, None].astype(np.uint8)
    images[:, 40:70, 40:70] += (30 * LABELS)[:, None, None].astype(np.uint8)

    def reader(rows, columns):
        means = (65.0, 95.0, 125.0)
        return lambda shown: -np.abs(shown[:, rows, columns].mean(axis=(1, 2))[:, None] - means)

    def ask(answer):
        plain = answer(images)
        return ask_without_lungs(answer, images, LABELS, PATIENTS, plain=plain, resamples=100, seed=0)

    frame, lungs = ask(reader(slice(0, 6), slice(None))), ask(reader(slice(40, 70), slice(40, 70)))
    assert frame.still_answers
    assert frame.without_centre.value == pytest.approx(1)
    assert frame.only_centre.value == pytest.approx(0.5)
    assert not lungs.still_answers
    assert lungs.only_centre.value == pytest.approx(1)


def test_a_model_that_answers_without_lungs_is_said_even_when_no_probe_finds_anything():
    figure = Figure(value=0.8, low=0.7, high=0.88)
    found = look(NOISE).model_copy(update={"occlusion": without_lungs(figure, still=True)})
    assert is_found(found)
    assert first_screen(found)[0].startswith(
        "with most of the lungs painted over, the model still has macro AUROC 0.80"
    )


def test_a_shortcut_that_the_model_was_not_seen_to_take_is_said_so():
    images = NOISE.copy()
    images[LABELS == 0, :4] += 40
    figure = Figure(value=0.5, low=0.4, high=0.6)
    found = look(images).model_copy(update={"occlusion": without_lungs(figure, still=False)})
    assert "was not seen to take it" in statements(found)[1]


def test_limits_begin_with_the_strongest_shortcut():
    images = NOISE.copy()
    images[LABELS == 0, :4] += 40
    found = look(images)
    found = found.model_copy(update={"found": True, "first_screen": first_screen(found)})
    origin = confounding_not_asked("not here")

    def limits(shortcuts):
        return plain_limits(
            initial_weights="random", confounding=origin, subgroups=(), count="90 test patients", shortcuts=shortcuts
        )

    assert limits(found)[0] == found.first_screen[0]
    assert any("fit for patients" in one for one in limits(found))
    assert limits(None)[0].startswith("TRAINED FROM RANDOM WEIGHTS")
    assert not any("fit for patients" in one for one in limits(None))


def test_the_phantom_with_labels_of_chance_raises_hardly_an_alarm():
    from imaging.data.phantom import reference_images

    images = np.stack([picture for picture, _ in reference_images(180, size=64)])
    sizes = {name: np.full(180, 64) for name in ("rows", "columns")}
    patients = np.arange(180).astype(str)
    alarms = 0
    for seed in range(12):
        labels = np.random.default_rng(seed).permutation(np.arange(180) % 3)
        alarms += bool(telling(look(images, labels=labels, sizes=sizes, patients=patients)))
    assert alarms <= 1


def test_the_phantom_holds_no_shortcut():
    from imaging.data.phantom import reference_images

    pictures = reference_images(240, size=64)
    images = np.stack([picture for picture, _ in pictures])
    labels = np.array([CLASSES.index(name) for _, name in pictures])
    assert not telling(look(images, labels=labels)) & set(OUTSIDE)


def test_an_evaluation_holds_its_shortcuts_and_shows_them(finished):
    said = json.loads((finished.evaluation / "evaluation.json").read_text())
    found = Evaluation.model_validate(said).shortcuts
    assert [one.name for one in found.probes] == [*OUTSIDE, "histogram"]
    assert found.n_test == said["n_images"]
    assert found.occlusion.n_images <= 96
    page = (finished.evaluation / "evaluation.html").read_text()
    assert "Could it be cheating?" in page
    assert draw_shortcuts(found) == draw_shortcuts(found)


def test_an_evaluation_of_before_this_section_still_loads(finished):
    said = json.loads((finished.evaluation / "evaluation.json").read_text())
    del said["shortcuts"]
    assert Evaluation.model_validate(said).shortcuts is None


@pytest.mark.parametrize(("subject", "part"), [("picture", "held_out"), ("radiograph", "external")])
def test_pictures_and_external_sets_are_not_asked_and_told_why(subject, part):
    from types import SimpleNamespace

    answers = Answers(
        before=np.eye(3), probabilities=np.eye(3), labels=np.arange(3), patients=LABELS[:3], classes=CLASSES
    )
    found = shortcuts_of(SimpleNamespace(info=SimpleNamespace(subject=subject), test_part=part), answers)
    assert found.not_asked
    assert not found.found
    assert found.statements == (f"shortcuts were not looked for: {found.not_asked}",)


@pytest.mark.real_data
def test_the_real_set_gives_covid_away_at_its_border_corners_letters_and_sizes(real_data):
    with (real_data / "xray3" / "manifest.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["split"] in ("train", "test")]
    images, sizes = [], []
    for row in rows:
        with Image.open(real_data / "xray3" / row["file"]) as picture:
            sizes.append(picture.size)
            picture.draft("L", (112, 112))
            images.append(np.asarray(picture.convert("L").resize((112, 112))))
    found = look(
        np.stack(images),
        labels=np.array([CLASSES.index(row["label"]) for row in rows]),
        sizes={"columns": np.array(sizes)[:, 0], "rows": np.array(sizes)[:, 1]},
        patients=np.array([row["patient_id"] for row in rows]),
        train=np.array([row["split"] == "train" for row in rows]),
        resamples=200,
    )
    assert set(OUTSIDE) <= telling(found)
    assert found.strongest.name == "border"
    assert found.strongest.best_class == "covid"
    assert found.strongest.per_class["covid"].value > 0.85
    assert "the same holds for" in first_screen(found)[0]
