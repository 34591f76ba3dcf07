"""Chooses how a model is calibrated: never worse than not at all, on images that nothing was fitted to.

Simplest first: nothing, a temperature, a scale and a shift a class, a curve a class. Each is fitted to four fifths of
the calibration part's patients and asked about the rest. One number learned is no greed: a temperature is taken where
its loss is below that of nothing. Of the rest the simplest whose loss is within one standard error of the lowest is
taken, the error being of the difference over patients (Breiman et al. 1984, "Classification and regression trees",
section 3.4.3, on paired losses), and never one whose loss is above that of nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from imaging.evaluation.calibration import fit_isotonic, fit_temperature, fit_vector
from imaging.evaluation.metrics import Array, Labels
from imaging.models.calibration_map import CalibrationRule, CalibrationTry, Method, calibrated

FOLDS = 5
LEAST_PATIENTS: dict[Method, int] = {"none": 2, "temperature": 2, "vector": 20, "isotonic": 100}
"""Of each class, below which a method is not tried: it has two numbers, or a whole curve, to learn for each."""
SIMPLE: tuple[Method, ...] = ("none", "temperature")
GREEDY: tuple[Method, ...] = ("vector", "isotonic")
LEAST_PROBABILITY = 1e-12


@dataclass(frozen=True, kw_only=True, slots=True)
class Fitted:
    """One way to calibrate, fitted."""

    temperature: float = 1.0
    rule: CalibrationRule | None = None

    def probabilities(self, logits: Array) -> Array:
        """Return calibrated probabilities (N, C)."""
        return calibrated(np.asarray(logits), self.temperature, self.rule)


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """The chosen way, fitted to the whole part, and how it was chosen.

    Attributes:
        method: Its name.
        fitted: To the whole calibration part.
        tried: Every method, the simplest first.
        held_out: (N, C) probabilities of the calibration part for what is fitted after: by fits that did not see the
            patient where the method could learn single images, else by `fitted` itself.
    """

    method: Method
    fitted: Fitted
    tried: tuple[CalibrationTry, ...]
    held_out: Array


FITS: dict[Method, Callable[[Array, Labels], Fitted]] = {
    "none": lambda _logits, _labels: Fitted(),
    "temperature": lambda logits, labels: Fitted(temperature=fit_temperature(logits, labels).temperature),
    "vector": lambda logits, labels: Fitted(rule=fit_vector(logits, labels)),
    "isotonic": lambda logits, labels: Fitted(rule=fit_isotonic(logits, labels)),
}


def choose_calibration(logits: Array, labels: Labels, patients: npt.NDArray) -> Choice:
    """Choose on the calibration part.

    Args:
        logits: (N, C) uncalibrated.
        labels: (N,) class indices.
        patients: (N,) keys; all images of a patient are in one fold.

    Raises:
        DataError: when the part is empty or a logit is not finite.
    """
    least = fewest_patients(labels, patients, classes=logits.shape[1])
    fold = folds_of(labels, patients)
    held: dict[Method, Array] = {
        method: _held_out(FITS[method], logits, labels, fold) for method in FITS if least >= LEAST_PATIENTS[method]
    }
    losses = {method: _losses(probabilities, labels, patients) for method, probabilities in held.items()}
    tried = _compare(losses, least)
    method: Method = next((one.method for one in tried if one.chosen), "temperature")
    fitted = FITS[method](logits, labels)
    seen = fitted.probabilities(logits) if fitted.rule is None else held[method]
    return Choice(method=method, fitted=fitted, tried=tried, held_out=seen)


def fewest_patients(labels: Labels, patients: npt.NDArray, *, classes: int) -> int:
    """Return how many patients the rarest class has."""
    return min(len(np.unique(patients[labels == place])) for place in range(classes))


def folds_of(labels: Labels, patients: npt.NDArray) -> npt.NDArray[np.int64]:
    """Return the fold (N,) of each image: patients dealt out in turn, class by class, the same every time."""
    keys, first, place = np.unique(patients, return_index=True, return_inverse=True)
    order = np.lexsort((keys, labels[first]))
    dealt = np.empty(len(keys), dtype=np.int64)
    dealt[order] = np.arange(len(keys)) % FOLDS
    return dealt[place]


def _held_out(
    fit: Callable[[Array, Labels], Fitted], logits: Array, labels: Labels, fold: npt.NDArray[np.int64]
) -> Array:
    found = np.empty(logits.shape, dtype=np.float64)
    for one in np.unique(fold):
        inside = fold == one
        learned = Fitted() if inside.all() else fit(logits[~inside], labels[~inside])
        found[inside] = learned.probabilities(logits[inside])
    return found


def _losses(probabilities: Array, labels: Labels, patients: npt.NDArray) -> Array:
    """Return each patient's mean negative log-likelihood, in nats."""
    own = _image_losses(probabilities, labels)
    _, place = np.unique(patients, return_inverse=True)
    return np.bincount(place, own) / np.bincount(place)


def likelihood_loss(probabilities: Array, labels: Labels) -> float:
    """Mean negative log-likelihood of `labels` (N,) under `probabilities` (N, C), in nats an image."""
    return float(_image_losses(probabilities, labels).mean())


def _image_losses(probabilities: Array, labels: Labels) -> Array:
    return -np.log(np.maximum(probabilities[np.arange(len(labels)), labels], LEAST_PROBABILITY))


def _compare(losses: dict[Method, Array], least: int) -> tuple[CalibrationTry, ...]:
    """Return every method with its loss, one of them chosen."""
    if not losses:
        return tuple(_left_out(method, least) for method in FITS)
    best = min(losses, key=lambda method: losses[method].mean())
    excess = {method: losses[method] - losses[best] for method in losses}
    error = {method: _standard_error(one) for method, one in excess.items()}
    simple: Method = "temperature" if losses["temperature"].mean() < losses["none"].mean() else "none"
    chosen = next(
        method
        for method in (simple, *GREEDY)
        if method in losses
        and excess[method].mean() <= error[method]
        and losses[method].mean() <= losses[simple].mean()
    )
    found: list[CalibrationTry] = []
    for method in FITS:
        if method not in losses:
            found.append(_left_out(method, least))
            continue
        found.append(
            CalibrationTry(
                method=method,
                nll=float(losses[method].mean()),
                excess=float(excess[method].mean()),
                excess_error=error[method],
                chosen=method == chosen,
                why=_reason(method, chosen, simple),
            )
        )
    return tuple(found)


def _reason(method: Method, chosen: Method, simple: Method) -> str:
    order = tuple(FITS)
    if chosen == "none" and method == "none":
        return "a temperature does no better on images that it was not fitted to"
    if chosen == "none" and method == "temperature":
        return "no better than nothing on images that it was not fitted to"
    if method == chosen:
        return "the simplest that no other beats beyond one standard error"
    if order.index(method) > order.index(chosen):
        return "a simpler one does as well"
    return f"{simple if method in SIMPLE else chosen} does better on images that it was not fitted to"


def _standard_error(differences: Array) -> float:
    return float(differences.std(ddof=1) / np.sqrt(len(differences))) if len(differences) > 1 else 0.0


def _left_out(method: Method, least: int) -> CalibrationTry:
    return CalibrationTry(
        method=method,
        why=f"not tried: it asks for {LEAST_PATIENTS[method]} of every class, and of one there are {least}",
    )
