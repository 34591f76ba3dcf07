"""What `thorax pipelines run` and `submit` are given alike, and the pipeline's arguments that it makes."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from imaging.config import TrainConfig

SMALLEST_SIDE = 64
"""Pixels; serving refuses smaller images, also a package's own reference image."""

Name = Annotated[str, typer.Argument(help="A pipeline; `list` shows them.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
Recipe = Annotated[str, typer.Option(help="A recipe of imaging.recipes.")]
Data = Annotated[str, typer.Option(help="Folder or s3:// address of images, or a dataset version.")]
Labels = Annotated[str, typer.Option(help="Label table (CSV); class folders where absent.")]
DatasetName = Annotated[str, typer.Option("--name", help="What the dataset's name starts with.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", help="Change a recipe's field: input.size=64; the value as JSON or text."),
]
Trigger = Annotated[Literal["manual", "drift", "schedule"], typer.Option(help="Why it is trained.")]
KeepSplit = Annotated[bool, typer.Option("--keep-split", help="Keep the label table's own split.")]
Seed = Annotated[int, typer.Option(help="Of the split.")]
Own = Annotated[
    list[str] | None,
    typer.Option(
        "--argument", help="An argument of the pipeline's own: key=value, as folds=5; the value as JSON or text."
    ),
]


def arguments_of(
    recipe: str, data: str, labels: str, name: str, changes: list[str], *, trigger: str, keep_split: bool, seed: int
) -> dict[str, Any]:
    """Return the pipeline's arguments; a recipe or change that cannot be is refused here, before anything starts."""
    from imaging.recipes import changed_recipe
    from imaging.recipes.overrides import parse_overrides

    overrides = parse_overrides(changes)
    config = changed_recipe(recipe, overrides)
    return {
        "source": data,
        "recipe": recipe,
        "labels": labels,
        "name": name,
        "size": _packed_side(config),
        "subject": config.subject,
        "seed": seed,
        "keep_split": keep_split,
        "overrides": overrides,
        "trigger": trigger,
    }


def _packed_side(config: "TrainConfig") -> int:
    """Return the side to pack images at; 0, the layout's own, where the recipe adds a border to smaller ones."""
    if config.subject == "radiograph":
        return max(config.input.size, SMALLEST_SIDE)
    return 0 if config.input.fit == "pad" else config.input.size


def for_pipeline(pipeline: str, arguments: dict[str, Any], own: list[str]) -> dict[str, Any]:
    """Leave out what this pipeline does not know and nobody chose; add what is its own."""
    from imaging.recipes.overrides import parse_overrides
    from pipelines.compilation import find_pipeline, parameters

    known = parameters(find_pipeline(pipeline))
    nobody_chose = {"trigger": "manual", "keep_split": False, "subject": "radiograph"}
    kept = {name: value for name, value in arguments.items() if name in known or value != nobody_chose.get(name)}
    given = parse_overrides(own)
    if isinstance(given.get("space"), str):
        from imaging.tuning.space import described, parse_space

        given["space"] = described(parse_space([given["space"]]))
    return {**kept, **given}
