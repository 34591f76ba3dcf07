"""What the figures of an evaluation do not show, in plain words; written by rule, so no report can leave it out."""

from collections.abc import Sequence

from imaging.evaluation.schema import NOT_EVALUATED, SourceConfounding, Subgroup


def started_at_random(initial_weights: str) -> bool:
    """Say whether training began without pretrained weights."""
    return initial_weights.strip().lower().startswith("random") or not initial_weights.strip()


def plain_limits(
    *, initial_weights: str, confounding: SourceConfounding, subgroups: Sequence[Subgroup], patients: int
) -> tuple[str, ...]:
    """Return the limits as sentences, the most important first."""
    said = []
    if started_at_random(initial_weights):
        said.append(
            "TRAINED FROM RANDOM WEIGHTS: no pretrained weights were found, so this model saw no picture but its own "
            "training part; expect clearly worse results than from a pretrained start"
        )
    said += confounding.statements
    if confounding.confounded or confounding.shortcut:
        said.append("a good figure here shows that the pipeline works, not that the model is fit for patients")
    said.append(
        f"all figures come from {patients} test patients of the same dataset that trained the model; at another "
        "hospital, with other machines and other patients, they are usually lower"
    )
    weak = [one for one in subgroups if not one.powered]
    if weak:
        said.append(
            f"{len(weak)} of {len(subgroups)} subgroups are too small or not recorded: for them nothing is claimed"
        )
    said.append("not evaluated in this version: " + ", ".join(NOT_EVALUATED))
    said.append("decision support for research only: a physician must confirm every answer")
    return tuple(said)
