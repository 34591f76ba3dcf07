"""One part of a window against what it is compared with: every distance, and which of them chance does not explain."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from monitoring.change_control import DriftTrigger
from monitoring.drift import distances
from monitoring.drift.bins import Bins, Counts, NumberBins, count_codes
from monitoring.drift.findings import Figure, Part, State
from monitoring.drift.noise import draws_for, sampling_noise
from monitoring.drift.reference import FEWEST_TAGGED, Reference


@dataclass(frozen=True, kw_only=True, slots=True)
class Compared:
    """What a part is compared with: by figure the bin of each image (M,), and in words what they are."""

    codes: Mapping[str, np.ndarray]
    against: str


def judge_part(
    reference: Reference,
    compared: Compared,
    counts: Counts,
    trigger: DriftTrigger,
    *,
    chance: float,
    group: tuple[str, str] = ("", ""),
) -> Part:
    """Compare counts of a part with `compared`.

    Args:
        reference: For bins and families.
        compared: What the part should look like.
        counts: Of the part.
        trigger: The plan's bound and watched families.
        chance: Of an alarm in this part though nothing changed.
        group: The column and value of the part; empty for the whole window.
    """
    known = count_codes(compared.codes, reference.bins)
    names = [name for name in compared.codes if _is_comparable(name, group, known, counts, reference.families[name])]
    if not names:
        return _nothing_to_compare(compared.against, known, counts, chance, group)
    noise = sampling_noise(
        {name: compared.codes[name] for name in names},
        reference.bins,
        reference.families,
        sample=counts.rows,
        known={name: int(counts.bins[name].sum()) for name in names},
        draws=draws_for(1 - chance),
    )
    figures = _figures(names, reference, known, counts, noise.thresholds(1 - chance), trigger)
    indices = np.array([one.psi for one in figures])
    return Part(
        column=group[0],
        value=group[1],
        rows=counts.rows,
        reference_rows=known.rows,
        against=compared.against,
        figures=figures,
        score=float(noise.score(indices)),
        score_noise=noise.threshold(1 - chance),
        p_value=noise.p_value(indices),
        level=1 - chance,
    )


def _nothing_to_compare(against: str, known: Counts, counts: Counts, chance: float, group: tuple[str, str]) -> Part:
    return Part(
        column=group[0],
        value=group[1],
        rows=counts.rows,
        reference_rows=known.rows,
        against=against,
        figures=(),
        score=0.0,
        score_noise=0.0,
        p_value=1.0,
        level=1 - chance,
    )


def _is_comparable(name: str, group: tuple[str, str], known: Counts, counts: Counts, family: str) -> bool:
    """Whether both sides know enough of a figure; a site is not compared with itself by its own name."""
    fewest = FEWEST_TAGGED if family in ("acquisition", "embedding") else 1
    return name != group[0] and min(known.bins[name].sum(), counts.bins[name].sum()) >= fewest


def _figures(
    names: list[str],
    reference: Reference,
    known: Counts,
    counts: Counts,
    thresholds: Mapping[str, float],
    trigger: DriftTrigger,
) -> tuple[Figure, ...]:
    p_values = np.array([_test(reference.bins[name], known.bins[name], counts.bins[name])[1] for name in names])
    adjusted = distances.holm(p_values) if len(names) else p_values
    found = []
    for index, name in enumerate(names):
        bins, r, c = reference.bins[name], known.bins[name], counts.bins[name]
        psi = float(distances.psi(r, c))
        number = isinstance(bins, NumberBins)
        found.append(
            Figure(
                name=name,
                family=reference.families[name],
                watched=reference.families[name] in trigger.watched,
                psi=psi,
                noise=thresholds[name],
                kl=float(distances.kl(r, c)),
                jensen_shannon=float(distances.jensen_shannon(r, c)),
                wasserstein=float(distances.wasserstein(r, c, bins.centres, bins.deviation))
                if isinstance(bins, NumberBins)
                else None,
                test="KS" if number else "chi-square",
                p_value=float(p_values[index]),
                p_adjusted=float(adjusted[index]),
                state=_state(psi, thresholds[name], trigger.bound),
                bins=tuple(bins.names),
                reference=r,
                current=c,
            )
        )
    return tuple(found)


def _test(bins: Bins, reference: np.ndarray, current: np.ndarray) -> tuple[str, float]:
    if isinstance(bins, NumberBins):
        return "KS", float(distances.ks_p_value(reference, current))
    return "chi-square", float(distances.chi_square_p_value(reference, current))


def _state(psi: float, noise: float, bound: float) -> State:
    if psi > noise:
        return "drifted" if psi > bound else "shifted"
    return "above" if psi > bound else "same"
