"""The table of gates: each reads one part of an `Evaluation` (or the package) and answers with a reason.

The answer is pass, fail, or that the gate does not apply to what the images show, as its row of `pipelines/gates.yaml`
rules; there, next to the bounds, is also said what the gates are for. No flag skips a gate. A figure that is missing,
an evaluation that cannot be read, a row that is not in the table: each fails its gate.
"""

from collections.abc import Callable

from imaging.evaluation.coverage_gate import check_coverage
from imaging.evaluation.export_gate import check_export_parity
from imaging.evaluation.gate import Evidence, GateRow, Verdict, is_missing, missing
from imaging.evaluation.package_gate import check_package
from imaging.evaluation.robustness_gate import check_robustness
from imaging.evaluation.schema import CalibrationSummary, ChampionComparison
from imaging.evaluation.subgroups import COLUMNS as SUBGROUP_COLUMNS


def check_split_overlap(evidence: Evidence, row: GateRow) -> Verdict:
    """No patient and no duplicate image on two sides of the split."""
    overlap = evidence.evaluation.overlap
    found = overlap.patients + overlap.duplicates
    reason = f"{overlap.patients} patients and {overlap.duplicates} duplicate images on two sides"
    return Verdict(passed=found <= row.bound, figure=found, bound=row.bound, reason=reason)


def check_evidence(evidence: Evidence, row: GateRow) -> Verdict:
    """Enough patients of each class in the test part; images where each is a patient of its own."""
    counts = {name: one.n_patients for name, one in evidence.evaluation.per_class.items()}
    if set(counts) != set(evidence.evaluation.classes) or not counts:
        return missing(row, "the number of patients of some class")
    least = min(counts, key=lambda name: counts[name])
    said = ", ".join(f"{count} {name}" for name, count in counts.items())
    one_each = evidence.evaluation.n_patients == evidence.evaluation.n_images
    what = "test patients" if not one_each else "test images, each a patient of its own"
    return Verdict(passed=counts[least] >= row.bound, figure=counts[least], bound=row.bound, reason=f"{what}: {said}")


def check_discrimination(evidence: Evidence, row: GateRow) -> Verdict:
    """Lower 95 % bound of macro AUROC against the recipe's floor, or the table's where that is higher."""
    figure = evidence.evaluation.overall.macro_auroc
    bound = max(row.bound, evidence.evaluation.floors.macro_auroc_lower)
    if is_missing(figure.value) or figure.low is None:
        return Verdict(passed=False, figure=None, bound=bound, reason="missing: macro AUROC with its interval")
    reason = f"macro AUROC {figure.value:.3f}, lower 95 % bound {figure.low:.3f}"
    return Verdict(passed=figure.low >= bound, figure=figure.low, bound=bound, reason=reason)


def check_critical_sensitivity(evidence: Evidence, row: GateRow) -> Verdict:
    """Lower 95 % bound of sensitivity of every critical class against the recipe's floor or the table's, the higher."""
    evaluation = evidence.evaluation
    found: list[tuple[float, float, float, str]] = []
    for name in evaluation.critical_classes:
        one = evaluation.per_class.get(name)
        if one is None or one.operating_point is None or one.sensitivity.value is None or one.sensitivity.low is None:
            return missing(row, f"sensitivity of {name} at an operating point, with its interval")
        bound = max(row.bound, evaluation.floors.sensitivity_lower.get(name, row.bound))
        said = f"{name} {one.sensitivity.value:.3f}, lower 95 % bound {one.sensitivity.low:.3f} (floor {bound:.2f})"
        found.append((one.sensitivity.low - bound, one.sensitivity.low, bound, said))
    if not found:
        return missing(row, "a critical class")
    spare, low, bound, _ = min(found)
    return Verdict(passed=spare >= 0, figure=low, bound=bound, reason="; ".join(said for *_, said in found))


def check_calibration(evidence: Evidence, row: GateRow) -> Verdict:
    """Debiased calibration error within the bound or within chance, and not worse than before calibration.

    Worse counts where the error is beyond chance: a perfectly calibrated model cannot be told from a slightly
    better one on the same images.

    Chance is what one perfectly calibrated model in 20 exceeds on this many images; from some 600 on it is below
    the default bound, which then decides alone.
    """
    summary = evidence.evaluation.calibration
    after, change = summary.debiased_after.value, summary.change
    if after is None or change.value is None or change.low is None:
        return missing(row, "calibration error after calibration, and its change")
    if summary.chance is None or is_missing(summary.chance):
        return missing(row, "what chance alone gives")
    bound = max(row.bound, summary.chance)
    worse = change.low > 0 and after > summary.chance
    verb = "worse than" if worse else "not worse than"
    reason = (
        f"debiased ECE {after:.3f} {calibrated_by(summary)}, {verb} before ({change.value:+.3f}); "
        f"bound {row.bound:.2f}, chance at this sample size {summary.chance:.3f}"
    )
    return Verdict(passed=after <= bound and not worse, figure=after, bound=bound, reason=reason)


def calibrated_by(summary: CalibrationSummary) -> str:
    """Say how the model was calibrated."""
    by = {
        "none": "uncalibrated, at T = 1",
        "temperature": f"at T = {summary.temperature:.2f}",
        "vector": "by a scale and a shift for each class",
        "isotonic": "by a monotone curve for each class",
    }
    return by[summary.method]


def check_subgroup_gap(evidence: Evidence, row: GateRow) -> Verdict:
    """No group with enough patients falls behind the others of its column by more than the bound, beyond chance."""
    groups = evidence.evaluation.subgroups
    if not groups and set(evidence.evaluation.subgroups_not_recorded) == set(SUBGROUP_COLUMNS):
        return Verdict(passed=True, figure=None, bound=row.bound, reason="no subgroup is recorded in the test part")
    if not groups:
        return missing(row, "subgroups")
    powered = [group for group in groups if group.powered]
    if not powered:
        reason = f"all {len(groups)} groups are under-powered and only reported"
        return Verdict(passed=True, figure=None, bound=row.bound, reason=reason)
    for group in powered:
        if group.gap.value is None or group.gap_together.value is None or group.gap_together.low is None:
            return missing(row, f"the gap of {group.column} {group.value}, with an interval among all groups")
    bad = [one for one in powered if (one.gap.value or 0) > row.bound and (one.gap_together.low or 0) > 0]
    worst = max(bad or powered, key=lambda one: one.gap.value or 0)
    within = "beyond chance" if bad else "within the bound or within chance"
    pairs = evidence.evaluation.subgroup_pairs
    left = len(groups) - len(powered) + (pairs.underpowered if pairs else 0)
    reason = (
        f"worst of {len(powered)} groups judged together: {worst.column} {worst.value}, macro AUROC "
        f"{worst.gap.value:.3f} below all recorded (95 % for all groups at once {worst.gap_together.low:.3f} to "
        f"{worst.gap_together.high:.3f}), {within}; {left} more under-powered"
    )
    return Verdict(passed=not bad, figure=worst.gap.value, bound=row.bound, reason=reason)


def check_non_inferiority(evidence: Evidence, row: GateRow) -> Verdict:
    """One-sided 95 % bound of the paired difference to the champion above minus the margin."""
    champion = evidence.evaluation.champion
    if champion is None:
        return Verdict(passed=True, figure=None, bound=-row.bound, reason="no champion to compare with")
    delta = champion.delta_macro_auroc
    if champion.problem or delta.value is None or delta.low is None:
        return missing(row, champion.problem or "the difference to the champion")
    reason = f"macro AUROC {delta.value:+.3f} against the champion, one-sided 95 % bound {delta.low:+.3f}"
    reason += _closer(champion)
    return Verdict(passed=delta.low >= -row.bound, figure=delta.low, bound=-row.bound, reason=reason)


def _closer(champion: ChampionComparison) -> str:
    """Say in which group the model does worst, and what McNemar's test of all calls finds; neither is judged."""
    said = ""
    powered = [one for one in champion.groups if one.powered and one.delta.value is not None]
    if powered:
        worst = min(powered, key=lambda one: one.delta.value or 0)
        few = len(champion.groups) - len(powered)
        said += f"; worst of {len(powered)} groups {worst.column} {worst.value} {worst.delta.value:+.3f}"
        said += f", {few} under-powered" if few else ""
    for one in champion.calls[:1]:
        said += f"; only this model right on {one.images_won} images, only the champion on {one.images_lost}"
        said += "" if one.p is None else f" (McNemar p {one.p:.2g})"
    return said


def check_latency(evidence: Evidence, row: GateRow) -> Verdict:
    """95th percentile of one image at a time within the recipe's bound, or the table's where that is lower."""
    latency = evidence.evaluation.latency
    bound = min(row.bound, evidence.evaluation.floors.latency_p95_ms)
    if latency.p95_ms is None or is_missing(latency.p95_ms):
        return Verdict(passed=False, figure=None, bound=bound, reason="missing: latency")
    reason = f"p95 {latency.p95_ms:.0f} ms over {latency.runs} images on {latency.device}"
    return Verdict(passed=latency.p95_ms <= bound, figure=latency.p95_ms, bound=bound, reason=reason)


def check_package_gate(evidence: Evidence, row: GateRow) -> Verdict:
    """Signed, unchanged since packaging, the evaluation is of this model, the card is complete, no pickle."""
    settings = evidence.settings
    problems = check_package(evidence.package, evidence.evaluation, sections=row.sections, settings=settings)
    reason = "; ".join(problems) or "the signature and every digest hold, the model card is complete, no pickle"
    return Verdict(passed=not problems, figure=len(problems), bound=row.bound, reason=reason)


GATES: dict[str, Callable[[Evidence, GateRow], Verdict]] = {
    "split_overlap": check_split_overlap,
    "evidence": check_evidence,
    "discrimination": check_discrimination,
    "critical_sensitivity": check_critical_sensitivity,
    "calibration": check_calibration,
    "subgroup_gap": check_subgroup_gap,
    "non_inferiority": check_non_inferiority,
    "latency": check_latency,
    "robustness": check_robustness,
    "coverage": check_coverage,
    "export_parity": check_export_parity,
    "package": check_package_gate,
}
"""Every gate there is. A table that lacks one, or names another, does not pass."""
