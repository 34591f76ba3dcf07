"""What the pictures show, and what they must not give away."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imaging.data.phantom import CLASSES, reference_images
from imaging.data.phantom.anatomy import chest
from imaging.data.phantom.pathology import attenuation
from imaging.data.phantom.patients import Patient, draw_patient
from imaging.data.phantom.picture import paint
from imaging.data.phantom.styles import SITES, style_of

SIZE = 64


def patient_with(label: str, *, index: int = 0, severity: float = 0.8) -> Patient:
    patient = draw_patient(index, seed=3, site="A")
    exposures = (replace(patient.exposures[0], severity=severity),)
    return replace(patient, label=label, exposures=exposures)


def opacity(label: str, *, index: int, severity: float = 0.8) -> np.ndarray:
    """Attenuation that a disease adds to the same patient's healthy chest."""
    images = []
    for name in ("normal", label):
        patient = patient_with(name, index=index, severity=severity)
        exposure = patient.exposures[0]
        rng = np.random.default_rng((*exposure.key, 2))
        images.append(attenuation(chest(patient, exposure, SIZE), name, severity, rng))
    return images[1] - images[0]


def test_the_same_seed_gives_the_same_pictures_and_another_seed_others():
    first, again, other = (reference_images(3, seed=seed, size=SIZE) for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for (a, _), (b, _) in zip(first, again, strict=True))
    assert not any(np.array_equal(a, b) for (a, _), (b, _) in zip(first, other, strict=True))


def test_reference_images_are_balanced_in_every_three():
    pictures = reference_images(9, seed=4, size=SIZE)
    assert Counter(label for _, label in pictures) == dict.fromkeys(CLASSES, 3)
    assert all(image.shape == (SIZE, SIZE) and image.dtype == np.uint8 for image, _ in pictures)


def test_a_patient_is_the_same_however_many_there_are():
    few = [draw_patient(index, seed=7, site="B") for index in range(2)]
    many = [draw_patient(index, seed=7, site="B") for index in range(9)]
    assert many[:2] == few


def test_another_site_has_other_patients():
    names = {draw_patient(index, seed=7, site=site).identifier for site in ("A", "B") for index in range(50)}
    assert len(names) == 100


@pytest.mark.parametrize("index", range(6))
def test_pneumonia_fills_one_lung_and_covid_both(index: int):
    sides = {}
    for label in ("pneumonia", "covid"):
        added = opacity(label, index=index)
        assert added.min() > -1e-3, "disease never makes a lung clearer"
        left, right = added[:, : SIZE // 2].sum(), added[:, SIZE // 2 :].sum()
        sides[label] = min(left, right) / max(left, right)
    assert sides["pneumonia"] < 0.12
    assert sides["covid"] > 0.2


def test_covid_lies_nearer_the_chest_wall_than_the_hilum():
    distance = np.abs(np.linspace(-1, 1, SIZE))
    for index in range(6):
        added = opacity("covid", index=index).sum(0)
        assert (added * distance).sum() / added.sum() > 0.37


@settings(max_examples=20, deadline=None)
@given(
    label=st.sampled_from(("pneumonia", "covid")),
    index=st.integers(0, 200),
    faint=st.floats(0, 0.8),
    more=st.floats(0.1, 0.2),
)
def test_a_severer_case_is_more_opaque(label: str, index: int, faint: float, more: float):
    weak = opacity(label, index=index, severity=faint).sum()
    strong = opacity(label, index=index, severity=faint + more).sum()
    assert strong > weak >= 0


def test_severity_changes_nothing_in_a_healthy_chest():
    mild, severe = (patient_with("normal", severity=value) for value in (0.1, 0.9))
    style = style_of("A", 0.1)
    assert np.array_equal(
        paint(mild, mild.exposures[0], style, size=SIZE), paint(severe, severe.exposures[0], style, size=SIZE)
    )


def test_class_view_and_device_are_drawn_independently():
    patients = [draw_patient(index, seed=0, site="A") for index in range(1500)]
    for claim in (lambda p: p.device < 1 / 3, lambda p: p.exposures[0].view == "AP", lambda p: p.sex == "F"):
        shares = [np.mean([claim(p) for p in patients if p.label == label]) for label in CLASSES]
        assert max(shares) - min(shares) < 0.09, "about 3 standard errors"


def test_the_margin_and_marker_do_not_depend_on_the_class():
    for index in range(6):
        shown = []
        for label in CLASSES:
            patient = patient_with(label, index=index)
            closed = paint(patient, patient.exposures[0], style_of("B", patient.device), size=SIZE) == 0
            shown.append((closed.all(axis=0).tolist(), closed.all(axis=1).tolist()))
        assert shown[0] == shown[1] == shown[2]


def test_a_device_shift_moves_brightness_contrast_and_sharpness_steadily():
    figures = []
    for shift in (0.0, 0.3, 0.6, 1.0):
        patients = [draw_patient(index, seed=5, site="A") for index in range(12)]
        images = [paint(p, p.exposures[0], style_of("A", p.device, shift=shift), size=128) / 4095 for p in patients]
        detail = np.mean([np.diff(image, n=2, axis=0).std() for image in images])
        figures.append((np.mean(images), np.mean([image.std() for image in images]), detail))
    brightness, contrast, sharpness = zip(*figures, strict=True)
    assert list(brightness) == sorted(brightness)
    assert list(contrast) == sorted(contrast, reverse=True)
    assert list(sharpness) == sorted(sharpness)
    assert brightness[2] - brightness[0] > 0.04


def test_every_site_has_its_own_style_and_an_unknown_one_gets_its_own():
    seen = {(style_of(site, 0.0).gamma, style_of(site, 0.0).manufacturer) for site in (*SITES, "north", "south")}
    assert len(seen) == len(SITES) + 2
    assert style_of("north", 0.0) == style_of("north", 0.0)
