"""The gate on changed images: no plausible corruption costs more of the macro AUROC than the bound, beyond chance."""

from imaging.evaluation.corruptions import CORRUPTIONS
from imaging.evaluation.gate import Evidence, GateRow, Verdict, missing


def check_robustness(evidence: Evidence, row: GateRow) -> Verdict:
    """Drop of macro AUROC under the first severity of every gated corruption.

    It fails where the drop is beyond the bound and beyond what chance gives when so many corruptions are asked at once.
    """
    found = evidence.evaluation.robustness
    if found is None:
        return missing(row, "robustness")
    asked = {name for name, one in CORRUPTIONS.items() if one.gated}
    gated = [one for one in found.corruptions if one.corruption in asked and one.severity == 1]
    if sorted(one.corruption for one in gated) != sorted(asked):
        return missing(row, f"one drop under each of: {', '.join(sorted(asked))}")
    figures: list[tuple[float, float, str]] = []
    for one in gated:
        if one.drop.value is None or one.lowest_drop is None:
            return missing(row, f"the drop under {one.title}, with its lower bound")
        figures.append((one.drop.value, one.lowest_drop, one.title))
    bad = [figure for figure in figures if figure[0] > row.bound and figure[1] > 0]
    drop, low, title = max(bad or figures)
    within = "beyond chance" if bad else "within the bound or within chance"
    others = f"; also beyond: {', '.join(name for _, _, name in bad if name != title)}" if len(bad) > 1 else ""
    reason = (
        f"worst of {len(figures)} corruptions on {found.n_images} images: {title}, macro AUROC {drop:.3f} lower "
        f"(95 % at least {low:.3f}, all judged together), {within}{others}"
    )
    return Verdict(passed=not bad, figure=drop, bound=row.bound, reason=reason)
