"""`thorax evaluate`: the pipeline's report about a model, made again, with a second dataset where one is given."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from thorax.commands.models_evaluate import Json, Model, Resamples, Seed, figures_table
from thorax.console import emit, say, talk

if TYPE_CHECKING:
    from rich.console import Group

    from imaging.evaluation import Evaluation
    from imaging.models.directory import ModelInfo

Data = Annotated[Path, typer.Option(help="The dataset version that the model was trained on; its test part is tested.")]
External = Annotated[Path | None, typer.Option(help="Another dataset version, all of whose images are tested too.")]
SplitFile = Annotated[Path | None, typer.Option(help="The model's split; found where `train` or a pipeline drew it.")]
Champion = Annotated[Path | None, typer.Option(help="The model directory to compare with on the same images.")]
Thorough = Annotated[bool, typer.Option("--thorough", help="Every severity of changed images, which takes minutes.")]
Out = Annotated[Path | None, typer.Option(help="Folder for the report, replaced as a whole; in the home where absent.")]


def evaluate(
    model: Model,
    data: Data,
    external: External = None,
    split: SplitFile = None,
    champion: Champion = None,
    thorough: Thorough = False,
    out: Out = None,
    resamples: Resamples = 1000,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Measure a model on its own test part, and on another dataset beside it; the files are the pipeline's."""
    from imaging.evaluation import evaluate_on_disk
    from imaging.models.directory import load_info
    from imaging.settings import Settings

    info = load_info(model)
    folder = out or Settings().home / "evaluations" / model.resolve().name
    with (
        tempfile.TemporaryDirectory() as drawn,
        talk.status("the model answers every test image, then figures are resampled…"),
    ):
        found = evaluate_on_disk(
            model,
            data,
            split_of(model, info, data, given=split, folder=Path(drawn)),
            folder,
            champion=champion,
            external=external,
            thorough=thorough,
            resamples=resamples,
            seed=seed,
        )
    emit(found.model_dump(mode="json"), as_json=as_json, text=_tables(found))
    say(f"the report: {folder / 'evaluation.html'}")


def split_of(model: Path, info: "ModelInfo", data: Path, *, given: Path | None, folder: Path) -> Path:
    """Return the file of the split that the model was trained on: given, beside it, or drawn again into `folder`.

    Raises:
        ConfigurationError: when none of these is the model's own: with another, it would be tested on what it learnt.
    """
    from imaging.data.splits import Split, split_on_disk
    from imaging.errors import ConfigurationError, DataError

    wanted, beside = info.digests.get("split", ""), model / "split.json"
    for file in (given,) if given else (beside,) if beside.is_file() else ():
        if wanted and Split.load(file).digest != wanted:
            raise ConfigurationError(
                f"the model was trained on another split than {file.name}; give its own by --split"
            )
        return file
    for seed in sorted({0, info.seed}):
        for keep in (False, True):
            file = folder / f"{seed}-{keep}.json"
            try:
                found = split_on_disk(data, file, seed=seed, keep_hints=keep)
            except DataError:  # no split of the table's own, or one that cannot be kept: not the one looked for
                continue
            if found.digest == wanted:
                return file
    raise ConfigurationError(
        "no split that this platform draws of the dataset is the model's; give its file by --split"
    )


def _tables(found: "Evaluation") -> "Group":
    """Return the model's figures, then what is lost elsewhere and under the worst everyday change."""
    from rich.console import Group
    from rich.table import Table

    from imaging.evaluation.report import figure_text

    lost = Table("", "images", "figure", box=None, pad_edge=False)
    if found.external is not None:
        count = str(found.external.n_images)
        lost.add_row("elsewhere: macro AUROC", count, figure_text(found.external.macro_auroc))
        lost.add_row("elsewhere: balanced accuracy", count, figure_text(found.external.balanced_accuracy))
        lost.add_row("elsewhere: calibration error", count, figure_text(found.external.calibration_error))
        lost.add_row("elsewhere: macro AUROC lost", count, figure_text(found.external.macro_auroc_drop))
    if found.robustness is not None:
        worst = found.robustness.worst
        lost.add_row(f"{worst.title}: macro AUROC lost", str(found.robustness.n_images), figure_text(worst.drop))
    return Group(figures_table(found), *((lost,) if lost.row_count else ()))
