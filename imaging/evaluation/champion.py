"""A closer look at challenger and champion: group by group, and where one is right and the other wrong.

The gate reads the paired difference of macro AUROC (`evaluate.compare_with_champion`); these figures say where it
comes from, and are not judged.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from imaging.evaluation.bootstrap import percentile_interval, resample
from imaging.evaluation.champion_schema import GroupDifference, PairedCalls
from imaging.evaluation.evaluate import MARGIN_LEVELS, Answers
from imaging.evaluation.mcnemar import clustered_mcnemar
from imaging.evaluation.metrics import Array, one_weighting
from imaging.evaluation.multiplicity import judge_together
from imaging.evaluation.patient_groups import NOT_RECORDED, Group, find_groups
from imaging.evaluation.schema import Figure
from imaging.evaluation.subgroups import areas

OVERALL = "most probable class"


def compare_closely(
    answers: Answers, champion: Array, *, points: Mapping[str, float], columns: Mapping[str, npt.NDArray]
) -> dict[str, Any]:
    """Return the fields of `ChampionComparison` that look closer.

    Args:
        answers: The challenger's.
        champion: (N, C) the champion's calibrated probabilities of the same images and classes.
        points: The champion's operating points.
        columns: Name to (N,) strings; `""` means not recorded.
    """
    return {
        "groups": compare_groups(answers, champion, columns),
        "calls": tuple(compare_calls(answers, champion, points)),
    }


def compare_groups(
    answers: Answers, champion: Array, columns: Mapping[str, npt.NDArray]
) -> tuple[GroupDifference, ...]:
    """Compare macro AUROC in each group on the same resamples, in groups of one column and powered pairs."""
    found, _ = find_groups(columns, answers.labels, answers.patients, classes=answers.classes)
    groups = [group for group in found if group.value]
    if not groups:
        return ()

    def statistic(weights: Array) -> dict[str, Array]:
        ours = areas(answers.probabilities, answers.labels, groups, weights)
        theirs = areas(champion, answers.labels, groups, weights)
        return {group.key: ours[group.key] - theirs[group.key] for group in groups}

    values = statistic(one_weighting(len(answers.labels)))
    drawn = resample(statistic, answers.patients, resamples=answers.resamples, seed=answers.seed)
    together: dict[str, Figure] = {}
    for kind in (False, True):
        keys = [group.key for group in groups if group.is_pair is kind and not group.note]
        if keys:
            judged = judge_together(
                np.array([values[key][0] for key in keys]), np.stack([drawn[key] for key in keys], axis=1)
            )
            together |= dict(zip(keys, judged.intervals, strict=True))
    return tuple(_difference(group, answers, values, drawn, together) for group in groups)


def compare_calls(answers: Answers, champion: Array, points: Mapping[str, float]) -> Iterator[PairedCalls]:
    """Test who is right more often: by the most probable class, and by calls for each critical class both can call."""
    truth, everybody = answers.labels, np.ones(len(answers.labels), bool)
    right = answers.probabilities.argmax(axis=1) == truth, champion.argmax(axis=1) == truth
    yield _paired(OVERALL, "all", *right, everybody, answers.patients)
    for name, point in answers.operating_points.items():
        if name not in points:
            continue
        index = answers.classes.index(name)
        calls = answers.probabilities[:, index] >= point, champion[:, index] >= points[name]
        sick = truth == index
        yield _paired(name, "with it", *calls, sick, answers.patients)
        yield _paired(name, "without it", ~calls[0], ~calls[1], ~sick, answers.patients)


def _difference(
    group: Group, answers: Answers, values: Mapping[str, Array], drawn: Mapping[str, Array], together: dict[str, Figure]
) -> GroupDifference:
    return GroupDifference(
        column=group.column,
        value=group.value or NOT_RECORDED,
        n_patients=len(np.unique(answers.patients[group.mask])),
        powered=not group.note,
        note=group.note,
        delta=percentile_interval(float(values[group.key][0]), drawn[group.key], levels=MARGIN_LEVELS),
        delta_together=together.get(group.key, Figure(value=None)),
    )


def _paired(
    calls: str,
    among: Literal["all", "with it", "without it"],
    first: npt.NDArray[np.bool_],
    second: npt.NDArray[np.bool_],
    mask: npt.NDArray[np.bool_],
    patients: npt.NDArray,
) -> PairedCalls:
    tested = clustered_mcnemar(first[mask], second[mask], patients[mask])
    return PairedCalls(
        calls=calls,
        among=among,
        n_images=int(mask.sum()),
        n_patients=len(np.unique(patients[mask])),
        images_won=tested.images_won,
        images_lost=tested.images_lost,
        patients_won=tested.patients_won,
        patients_lost=tested.patients_lost,
        method=tested.method,
        p=tested.p,
    )
