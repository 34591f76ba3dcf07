"""One fold's evaluation as `evaluate_on_disk` leaves it."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from imaging.evaluation.evaluate import evaluate_classes
from imaging.evaluation.on_disk import encode_predictions
from tests.imaging.evaluation.factories import CLASSES, POINTS, calibrated_answers, passing_evaluation

__all__ = ["CLASSES", "write_fold"]

IMAGES = 80


def write_fold(
    folder: Path, *, seed: int, first_patient: int = 0, operating_points: dict | None = None, recipe: str = "fold"
) -> Path:
    """Write the figures and answers of 80 images of 40 patients, numbered from `first_patient`."""
    answers = calibrated_answers(images=IMAGES, resamples=20, seed=seed)
    patients = np.array([f"p{first_patient + index // 2:04d}" for index in range(IMAGES)])
    points = POINTS if operating_points is None else operating_points
    answers = replace(answers, patients=patients, operating_points=points)
    per_class, overall = evaluate_classes(answers)
    evaluation = passing_evaluation().model_copy(
        update={
            "recipe": recipe,
            "operating_points": points,
            "per_class": per_class,
            "overall": overall,
            "n_images": IMAGES,
            "n_patients": IMAGES // 2,
        }
    )
    folder.mkdir(parents=True)
    (folder / "evaluation.json").write_text(evaluation.model_dump_json())
    rows = np.arange(IMAGES) + 2 * first_patient
    (folder / "predictions.parquet").write_bytes(encode_predictions(answers, rows))
    return folder
