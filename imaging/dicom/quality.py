"""Is there a picture in these grey values, and is it the right way up in brightness?"""

import numpy as np

from imaging.errors import ImageQualityError

LEAST_DEVIATION = 0.02
LOW_RESOLUTION = 256


def check_quality(grey: np.ndarray) -> list[str]:
    """Return warnings about grey values in [0, 1].

    Raises:
        ImageQualityError: the picture is blank.
    """
    check_not_blank(float(grey.std()))
    warnings = []
    if min(grey.shape) < LOW_RESOLUTION:
        warnings.append("low_resolution")
    if polarity(grey) < -0.1:
        warnings.append("polarity_suspect")
    return warnings


def check_not_blank(deviation: float) -> None:
    """Refuse a picture by the standard deviation of its values in [0, 1], of its liveliest channel where it has any."""
    if deviation < LEAST_DEVIATION:
        raise ImageQualityError("the image is blank: nothing in it differs from the rest")


def polarity(grey: np.ndarray) -> float:
    """Return how much brighter the mediastinum is than the darker lung: above 0 in a frontal chest image.

    A header can lie about MONOCHROME1; a mediastinum darker than both lungs shows it. One white lung does not.
    """
    rows, columns = grey.shape
    band = grey[int(rows * 0.3) : int(rows * 0.65)]

    def strip(left: float, right: float) -> float:
        return float(band[:, int(columns * left) : int(columns * right)].mean())

    return strip(0.44, 0.56) - min(strip(0.2, 0.36), strip(0.64, 0.8))
