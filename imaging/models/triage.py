"""The one rule that decides whether an answer may be reported or a radiologist looks first."""

from collections.abc import Sequence

import numpy as np

from imaging.models.directory import ModelInfo
from imaging.models.prediction_set import prediction_set

FRONTAL_VIEWS = ("PA", "AP")
HARMLESS_WARNINGS = ("body_part_unknown", "view_unrecognised", "window_missing", "window_ignored", "voi_lut_ignored")
"""Warnings about the header; any other one is about the picture and refers it."""
REASONS = ("ambiguous_set", "low_confidence", "out_of_distribution", "image_quality", "view_unknown")


def triage(
    probabilities: np.ndarray,
    info: ModelInfo,
    *,
    view: str | None = None,
    warnings: Sequence[str] = (),
    novelty: float | None = None,
) -> tuple[str, ...]:
    """Name the reasons for which a radiologist has to look first; none means `report`.

    * `ambiguous_set`: the conformal rule leaves more than one class, or a critical class reaches its operating point
      though another class, critical or not, is predicted.
    * `low_confidence`: the highest probability is below the confidence floor, or is no number.
    * `out_of_distribution`: the image is further from the training images than the model's threshold.
    * `image_quality`: the decoder warned about the picture.
    * `view_unknown`: a view was looked for and is neither PA nor AP.

    The rules about critical classes and views are for radiographs; a picture has neither. A model without a conformal
    rule or a threshold, as those of earlier releases, is not asked for it.

    Args:
        probabilities: (C,) calibrated.
        info: The model's description.
        view: Of a radiograph, "" where unknown; `None` where nobody looked.
        warnings: The decoder's.
        novelty: The image's distance from the training images.
    """
    of_chest = info.subject == "radiograph"
    predicted = info.classes[int(probabilities.argmax())]
    found = [
        name
        for name in info.critical_classes
        if probabilities[info.classes.index(name)] >= info.operating_points.get(name, np.inf)
    ]
    several = info.conformal is not None and len(prediction_set(probabilities, info.classes, info.conformal)) > 1
    reference = info.out_of_distribution
    rules = {
        "ambiguous_set": several or (of_chest and any(name != predicted for name in found)),
        "low_confidence": not float(probabilities.max()) >= info.confidence_floor,  # so that NaN refers
        "out_of_distribution": reference is not None and novelty is not None and not novelty <= reference.threshold,
        "image_quality": any(warning not in HARMLESS_WARNINGS for warning in warnings),
        "view_unknown": of_chest and view is not None and view.upper() not in FRONTAL_VIEWS,
    }
    return tuple(name for name in REASONS if rules[name])
