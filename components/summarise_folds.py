"""Put the folds of a cross-validation together."""

from typing import List  # noqa: UP035  KFP 2.17 knows lists of artifacts by this name

from kfp import dsl

from components import images


@dsl.component(base_image=images.TRAINER, install_kfp_package=False)
def summarise_folds(
    evaluations: dsl.Input[List[dsl.Artifact]],  # noqa: UP006
    summary: dsl.Output[dsl.Artifact],
    page: dsl.Output[dsl.HTML],
    metrics: dsl.Output[dsl.Metrics],
    resamples: int = 1000,
    code_version: str = "",
) -> float:
    """Summarise k evaluations: each fold, mean and standard deviation, and the pooled answers with intervals.

    Args:
        evaluations: What `evaluate-fold` wrote, in the folds' order.
        summary: The folder of `cross_validation.json`, `.html`, `.png` and the pooled predictions.
        page: The HTML alone, for the pipelines' own pages.
        metrics: Pooled figures.
        resamples: Bootstrap resamples, by patient.
        code_version: Digest of the code, which decides whether a finished step may be reused.

    Returns:
        The pooled macro AUROC (0-1).
    """
    from pathlib import Path

    from imaging.evaluation.cross_validation import summarise_folds_on_disk

    folders = [Path(evaluation.path) for evaluation in evaluations]
    made = summarise_folds_on_disk(folders, Path(summary.path), resamples=resamples)
    Path(page.path).write_bytes((Path(summary.path) / "cross_validation.html").read_bytes())
    pooled = {name: figure.pooled.value for name, figure in made.overall.items()}
    for name, value in pooled.items():
        if value is not None:
            metrics.log_metric(name, value)
    return pooled["macro_auroc"] or 0.0
