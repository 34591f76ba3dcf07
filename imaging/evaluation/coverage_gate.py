"""The gate on prediction sets: they must keep their promise on patients who had no part in it."""

from imaging.evaluation.conformal import coverage_limits
from imaging.evaluation.gate import Evidence, GateRow, Verdict, is_missing, missing


def check_coverage(evidence: Evidence, row: GateRow) -> Verdict:
    """Coverage not below the interval in which it lies by chance when the promise holds; the promise at least `bound`.

    The interval is beta-binomial: it knows that the quantile itself comes from a number of patients. Coverage above it
    is said and passes: sets always hold the most probable class, so a model that is right more often than the level
    covers more than the level.
    """
    section = evidence.evaluation.uncertainty
    if section is None:
        return missing(row, "prediction sets; calibrate and evaluate the model again")
    found, figure = section.coverage, section.coverage.marginal.coverage.value
    if figure is None or is_missing(figure) or found.marginal.n_patients == 0:
        return missing(row, "coverage of the prediction sets")
    if found.level < row.bound:
        reason = f"the sets promise {found.level:.0%}, at least {row.bound:.0%} is asked for"
        return Verdict(passed=False, figure=found.level, bound=row.bound, reason=reason)
    lowest, highest = coverage_limits(found.level, found.calibration_patients, found.marginal.n_patients)
    where = "below what chance explains" if figure < lowest else "above it" if figure > highest else "within chance"
    evaluation = evidence.evaluation
    what = "test images" if evaluation.n_patients == evaluation.n_images else "test patients"
    reason = (
        f"sets hold the true class of {figure:.1%} of {found.marginal.n_patients} {what}, promised {found.level:.0%}: "
        f"{where} ({lowest:.1%} to {highest:.1%}, calibrated on {found.calibration_patients})"
    )
    return Verdict(passed=figure >= lowest - 1e-9, figure=figure, bound=lowest, reason=reason)
