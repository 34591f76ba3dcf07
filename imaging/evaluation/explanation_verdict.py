"""One sentence about a model's heat maps, by rule."""

from typing import Literal

from imaging.evaluation.explanation_schema import Explanation
from imaging.evaluation.figure import Figure

SAME = 0.5
"""Mean rank correlation from which a map counts as hardly changed by other weights."""
LEAST_LESIONS = 10
"""Fewer images with a marked lesion leave the question open."""
Verdict = Literal["believable", "untested", "doubtful", "unknown"]


def judge(found: Explanation, *, is_radiograph: bool = True) -> Explanation:
    """Return the same with its verdict and its sentence; where something lies is asked of radiographs only."""
    correlations = [(one.part, one.correlation.value) for one in found.randomised]
    known = [(part, value) for part, value in correlations if value is not None]
    if not known or len(known) < len(correlations):
        why = found.statement or "the maps show no heat"
        return _with(found, "unknown", f"This was not tested: {why}.")
    numbers = " and ".join(f"{value:.2f} (other {part})" for part, value in known)
    if max(value for _, value in known) >= SAME:
        return _with(
            found,
            "doubtful",
            "No: the map hardly depends on what the model learnt. With random weights it stays much the same, rank "
            f"correlation {numbers}, where 1 is the same map.",
        )
    follows = f"With random weights it becomes another map (rank correlation {numbers}; 1 is the same)"
    if not is_radiograph:
        return _with(found, "untested", f"In part. {follows}; whether it lies on the object was not tested.")
    if wrong := _wrong_places(found):
        return _with(found, "doubtful", f"With doubt. {follows}, but {' and '.join(wrong)}.")
    if found.n_lesions < LEAST_LESIONS or found.hit_rate.value is None:
        return _with(
            found,
            "untested",
            f"In part. {follows}, and most of its heat lies away from the border; whether it points at disease is not "
            f"known, since lesions are marked in {found.n_lesions or 'none'} of the images looked at.",
        )
    return _with(
        found,
        "believable",
        f"Yes, as far as this was tested. Its hottest point lies in the marked lesion in {_percent(found.hit_rate)} of "
        f"{found.n_lesions} images, where chance is {_share(found.lesion_area)}. {follows}.",
    )


def _wrong_places(found: Explanation) -> list[str]:
    """Say what is wrong with where the heat lies."""
    wrong = []
    if found.n_lesions >= LEAST_LESIONS and not (found.hits_above_chance.low or 0.0) > 0:
        wrong.append(
            f"its hottest point lies in the marked lesion in {_percent(found.hit_rate)} of {found.n_lesions} images, "
            f"no oftener than chance explains ({_share(found.lesion_area)})"
        )
    if found.lung_area is not None and (found.lung_share.value or 0.0) <= found.lung_area:
        wrong.append(
            f"only {_percent(found.lung_share)} of its heat lies in the lungs, which take {_share(found.lung_area)}"
        )
    elif found.border_area is not None and (found.border_share.value or 0.0) >= found.border_area:
        wrong.append(
            f"{_percent(found.border_share)} of its heat lies at the image's border, "
            f"which takes {_share(found.border_area)} of it"
        )
    return wrong


def _percent(figure: Figure) -> str:
    return "–" if figure.value is None else _share(figure.value)


def _share(value: float | None) -> str:
    return f"{100 * (value or 0.0):.0f} %"


def _with(found: Explanation, verdict: Verdict, statement: str) -> Explanation:
    return found.model_copy(update={"verdict": verdict, "statement": statement})
