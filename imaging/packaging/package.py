"""Puts a calibrated model and all that it must carry into one directory, then closes it with a manifest."""

import io
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from imaging import atomic
from imaging.data.dataset import Dataset, load_dataset
from imaging.data.splits import Split
from imaging.errors import DataError
from imaging.inference import Predictor
from imaging.models.directory import ModelInfo, load_info, package_digest, replace_info
from imaging.models.manifest import write_manifest
from imaging.packaging.drift_reference import observed, reference_profile
from imaging.packaging.export import leave_out_unproven
from imaging.packaging.model_card import render_model_card, render_model_card_page
from imaging.packaging.sbom import SBOM_FILE, environment_sbom
from imaging.training.reports import CURVES_FILE, read_report

REPORTS = ("evaluation.json", "evaluation.html")
TELLING_CONFIDENCE = 0.8
"""The smoke test's image is the one nearest to this: sure enough to be stable, unsure enough to show an error."""


def package_on_disk(
    model: Path, evaluation: Path, dataset: Path, split: Path, out: Path, *, extra: Mapping[str, Any]
) -> str:
    """Write the final model directory of a calibrated and evaluated model.

    Args:
        model: The calibrated model directory.
        evaluation: The folder that `evaluate_on_disk` wrote.
        dataset: The dataset version it was made from.
        split: Its split file.
        out: The final directory; appears whole or not at all.
        extra: `trigger`, and the digests of `code` and `image` where there are any.

    Returns:
        The package's digest.

    Raises:
        DataError: when the dataset and the split, or the predictions and the split, do not belong together.
    """
    data, parts = load_dataset(dataset), Split.load(split)
    if parts.dataset_digest != data.digest:
        raise DataError("the split was made for another dataset version")
    before = load_info(model)
    known = {name: str(extra[name]) for name in ("code", "image") if extra.get(name)}
    digests = {**before.digests, **known, "dataset": data.digest, "split": parts.digest}
    changes = {"digests": digests, **({"trigger": extra["trigger"]} if extra.get("trigger") else {})}
    with atomic.new_directory(out) as folder:
        info = replace_info(model, folder / "model", **changes)
        for path in (folder / "model").iterdir():
            path.rename(folder / path.name)
        (folder / "model").rmdir()
        for name in REPORTS:
            shutil.copyfile(evaluation / name, folder / name)
        leave_out_unproven(folder, evaluation)
        scores = _scores(folder, evaluation, data, parts, info)
        seen = observed(folder, data, np.array(sorted(scores), dtype=np.int64))
        atomic.write_bytes(folder / "reference_profile.parquet", reference_profile(data, scores, info.classes, seen))
        _write_reference(folder, data, parts.parts["test"], scores)
        found = json.loads((evaluation / "evaluation.json").read_text())
        training = read_report(folder) if (folder / CURVES_FILE).is_file() else None
        card = render_model_card(info, found, data.manifest, parts.parts, training)
        atomic.write_text(folder / "model_card.md", card)
        atomic.write_text(folder / "model_card.html", render_model_card_page(card))
        atomic.write_text(folder / SBOM_FILE, environment_sbom())
        write_manifest(folder)
    return package_digest(out)


def _scores(model: Path, evaluation: Path, data: Dataset, split: Split, info: ModelInfo) -> dict[int, np.ndarray]:
    """Return the calibrated probabilities of each image of the calibration and test parts, by index.

    Those of the test part are evaluation's own, so that the reference is what was judged.
    """
    import pyarrow.parquet as pq

    table = pq.read_table(evaluation / "predictions.parquet")
    indices = table.column("index").to_numpy()
    if not np.array_equal(indices, split.parts["test"]):
        raise DataError("the predictions are of another test part than the split's; evaluate again")
    judged = np.stack([table.column(f"p_{name}").to_numpy() for name in info.classes], axis=1)
    calibration = split.parts["calibration"]
    fresh = Predictor.load(model).probabilities(data.images[calibration])
    return {**dict(zip(indices.tolist(), judged, strict=True)), **dict(zip(calibration.tolist(), fresh, strict=True))}


def _write_reference(folder: Path, data: Dataset, test: np.ndarray, scores: Mapping[int, np.ndarray]) -> None:
    """Write one test image and its answer, for the smoke test before a release."""
    from PIL import Image

    index = min(test.tolist(), key=lambda one: abs(float(scores[one].max()) - TELLING_CONFIDENCE))
    image = np.asarray(data.images[index])
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="PNG")
    atomic.write_bytes(folder / "reference_image.png", buffer.getvalue())
    predictor = Predictor.load(folder)
    answer = predictor.predict(image[np.newaxis])[0]
    document = {"prediction": answer.prediction, "probabilities": answer.probabilities}
    atomic.write_text(folder / "reference_answer.json", json.dumps(document, indent=1) + "\n")
