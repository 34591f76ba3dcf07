"""What probes and painted-over images found, in plain sentences; written by rule, so no report can leave it out."""

from imaging.evaluation.figure import Figure
from imaging.evaluation.shortcuts_schema import Probe, Shortcuts

CHANCE = 0.5


def is_found(one: Shortcuts) -> bool:
    """Say whether the class can be told without the lungs, by a probe or by the model."""
    return one.strongest is not None or (one.occlusion is not None and one.occlusion.still_answers)


def first_screen(one: Shortcuts) -> tuple[str, ...]:
    """Return what no reader may miss, the strongest first; empty where nothing was found."""
    said = []
    if one.strongest is not None:
        said.append(_strongest(one, one.strongest))
    if one.occlusion is not None and one.occlusion.still_answers:
        said.append(_without_lungs(one))
    return tuple(said)


def statements(one: Shortcuts) -> tuple[str, ...]:
    """Return everything that is to be said, what was found first."""
    said = list(first_screen(one))
    if not said:
        said.append(_nothing(one))
    elif one.occlusion is not None and not one.occlusion.still_answers:
        said.append(
            "the data hold this shortcut, but the model was not seen to take it: with the lungs painted over, its "
            f"macro AUROC falls from {_number(one.occlusion.whole)} to {_text(one.occlusion.without_centre)}"
        )
    said += _relies_on_frame(one)
    said += [_greys(one, probe) for probe in one.probes if probe.holds_lung and probe.tells]
    return tuple(said)


def _strongest(one: Shortcuts, probe: Probe) -> str:
    name = probe.best_class
    others = sorted(
        (other for other in one.probes if other.tells and not other.holds_lung and other is not probe),
        key=lambda other: -(other.macro_auroc.value or 0.0),
    )
    named = [f"the {other.title} ({other.best_class} {_number(other.per_class[other.best_class])})" for other in others]
    also = f"; the same holds for {_and(named)}" if named else ""
    return (
        f"the {probe.title} alone, which {_verb(probe, 'holds', 'hold')} no lung, {_verb(probe, 'tells', 'tell')} "
        f"{name} from the rest with AUROC {_text(probe.per_class[name])}; chance is {CHANCE:.2f}, the model has "
        f"{_number(one.model_per_class[name])}: a model can score well on these images without seeing disease{also}"
    )


def _without_lungs(one: Shortcuts) -> str:
    occlusion = one.occlusion
    if occlusion is None:
        return ""
    return (
        f"with most of the lungs painted over, the model still has macro AUROC {_text(occlusion.without_centre)}; "
        f"chance is {CHANCE:.2f}, on whole images {_number(occlusion.whole)}: part of its answers comes from elsewhere"
    )


def _nothing(one: Shortcuts) -> str:
    judged = [probe for probe in one.probes if not probe.holds_lung and probe.macro_auroc.value is not None]
    if not judged:
        why = next((probe.problem for probe in one.probes if probe.problem), "the test part lacks a class")
        return f"whether the class can be told without the lungs could not be computed: {why}"
    best = max(judged, key=lambda probe: probe.macro_auroc.value or 0.0)
    said = (
        "neither border nor corners, letters or size tell the classes clearly better than chance: the highest macro "
        f"AUROC among them is {_text(best.macro_auroc)}, of the {best.title}"
    )
    if one.occlusion is not None and one.occlusion.without_centre.value is not None:
        said += f", and with the lungs painted over the model is left with {_text(one.occlusion.without_centre)}"
    return said


def _relies_on_frame(one: Shortcuts) -> list[str]:
    if one.occlusion is None or one.occlusion.lost_without_frame.low is None:
        return []
    kept, lost = one.occlusion.only_centre, one.occlusion.lost_without_frame
    if lost.low is None or lost.low <= 0 or one.occlusion.without_centre.value is None:
        return [f"with nothing but the lungs the model has macro AUROC {_text(kept)}: no clear loss"]
    return [
        f"with nothing but the lungs the model has macro AUROC {_text(kept)}, {_text(lost)} less than on whole images; "
        "painted images are unlike all it learnt from, so a small loss is no proof"
    ]


def _greys(one: Shortcuts, probe: Probe) -> str:
    said = (
        f"the {probe.title} alone, without their places, tell {probe.best_class} with AUROC "
        f"{_text(probe.per_class[probe.best_class])}: disease changes them, but so do machines and their processing, "
        "so this proves nothing by itself"
    )
    low, value = one.model_macro_auroc.low, probe.macro_auroc.value
    if low is not None and value is not None and value >= low:
        said += "; here they tell the classes as well as the model does"
    return said


def _verb(probe: Probe, singular: str, plural: str) -> str:
    return plural if probe.title.endswith("s") or probe.name == "text" else singular


def _and(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _number(figure: Figure) -> str:
    return "unknown" if figure.value is None else f"{figure.value:.2f}"


def _text(figure: Figure) -> str:
    if figure.low is None or figure.high is None:
        return _number(figure)
    return f"{_number(figure)} (95 % {figure.low:.2f} to {figure.high:.2f})"
