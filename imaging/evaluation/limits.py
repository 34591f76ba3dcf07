"""What the figures of an evaluation do not show, in plain words; written by rule, so no report can leave it out."""

from collections.abc import Sequence
from typing import Literal

from imaging.evaluation.schema import NOT_EVALUATED, SourceConfounding, Subgroup
from imaging.evaluation.shortcuts_schema import Shortcuts


def lacks_pretraining(initial_weights: str, subject: str = "radiograph") -> bool:
    """Say whether training began without the pretrained weights it needs.

    A radiograph's network always needs them; a picture's only where the recipe asks for some.
    """
    start = initial_weights.strip().lower()
    return start in ("", "random") or (subject == "radiograph" and start.startswith("random"))


def plain_limits(
    *,
    initial_weights: str,
    confounding: SourceConfounding,
    subgroups: Sequence[Subgroup],
    count: str,
    subject: Literal["radiograph", "picture"] = "radiograph",
    test_part: Literal["held_out", "external"] = "held_out",
    shortcuts: Shortcuts | None = None,
) -> tuple[str, ...]:
    """Return the limits as sentences, the most important first; `count` is as `90 test patients`."""
    said = [] if shortcuts is None else list(shortcuts.first_screen)
    if lacks_pretraining(initial_weights, subject):
        missing = initial_weights.strip().lower() in ("", "random")
        why = "no pretrained weights were found" if missing else "its recipe asks for no pretrained ones"
        said.append(
            f"TRAINED FROM RANDOM WEIGHTS: {why}, so this model saw no picture but its own training part; "
            "expect clearly worse results than from a pretrained start"
        )
    if subject == "radiograph":
        said += confounding.statements
    if confounding.confounded or confounding.shortcut or (shortcuts is not None and shortcuts.found):
        said.append("a good figure here shows that the pipeline works, not that the model is fit for patients")
    said.append(_where_from(count, subject, test_part))
    weak = [one for one in subgroups if not one.powered]
    if weak:
        said.append(
            f"{len(weak)} of {len(subgroups)} subgroups are too small or not recorded: for them nothing is claimed"
        )
    if NOT_EVALUATED:
        said.append("not evaluated in this version: " + ", ".join(NOT_EVALUATED))
    if subject == "radiograph":
        said.append("decision support for research only: a physician must confirm every answer")
    return tuple(said)


def _where_from(count: str, subject: str, test_part: str) -> str:
    """Say where the test part comes from, and what that means for figures elsewhere."""
    if test_part == "external":
        return (
            f"all figures come from {count} of another dataset than the one that trained the model; whether a picture "
            "is in both was not checked, and nothing was fitted here: operating points and temperature are the model's"
        )
    elsewhere = (
        "on pictures taken otherwise"
        if subject == "picture"
        else "at another hospital, with other machines and other patients"
    )
    return (
        f"all figures come from {count} of the same dataset that trained the model; {elsewhere}, they are usually lower"
    )
