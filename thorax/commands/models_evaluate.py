"""`thorax models evaluate`: how a model does on a dataset it was not made from."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from thorax.console import emit, say, talk

if TYPE_CHECKING:
    from rich.table import Table

    from imaging.evaluation import Evaluation

Model = Annotated[Path, typer.Argument(help="A model directory, as training or packaging writes it.")]
DatasetVersion = Annotated[Path, typer.Argument(help="A dataset version; all of its images are tested.")]
Out = Annotated[Path, typer.Option(help="Folder for the report; replaced as a whole.")]
Resamples = Annotated[int, typer.Option(min=20, help="Bootstrap resamples, by patient.")]
Seed = Annotated[int, typer.Option(help="Of the resamples.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]

SHOWN = {"AUROC": "auroc", "sensitivity": "sensitivity", "specificity": "specificity"}
"""What fits into 80 columns with intervals; the rest is in the report."""


def evaluate(
    model: Model, dataset: DatasetVersion, out: Out, resamples: Resamples = 1000, seed: Seed = 0, as_json: Json = False
) -> None:
    """Measure a model on another dataset version than the one that trained it, with intervals."""
    from imaging.evaluation import evaluate_external_on_disk

    with talk.status("the model answers every image, then figures are resampled…"):
        found = evaluate_external_on_disk(model, dataset, out, resamples=resamples, seed=seed)
    emit(found.model_dump(mode="json"), as_json=as_json, text=figures_table(found))
    say(f"the report: {out / 'evaluation.html'}")


def figures_table(found: "Evaluation") -> "Table":
    """Return the figures that fit into a terminal."""
    from rich.table import Table

    from imaging.evaluation.report import figure_text

    table = Table("", "images", *SHOWN, box=None, pad_edge=False)
    for name, one in found.per_class.items():
        table.add_row(name, str(one.n_images), *(figure_text(getattr(one, figure), 2) for figure in SHOWN.values()))
    overall = {"accuracy": found.overall.accuracy, "balanced accuracy": found.overall.balanced_accuracy}
    overall |= {"macro AUROC": found.overall.macro_auroc, "macro PR-AUC": found.overall.macro_average_precision}
    overall |= {"calibration error": found.calibration.debiased_after}
    for name, figure in overall.items():
        table.add_row(name, str(found.n_images), figure_text(figure))
    return table
