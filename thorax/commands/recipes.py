"""`thorax recipes`: which experiments there are, what they are made of, and what was measured."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from thorax.console import emit

if TYPE_CHECKING:
    from rich.table import Table

    from imaging.config import TrainConfig

app = typer.Typer(help="Look at the recipes that can be trained.", no_args_is_help=True)

DATA = {
    "mnist": "MNIST",
    "cifar10": "CIFAR-10",
    "flowers": "flower photographs",
    "catsdogs": "cats and dogs",
    "xray3": "chest X-rays, 3 classes",
    "pneumonia": "chest X-rays (Kermany)",
    "abnormal": "chest X-rays (NIH)",
    "phantom": "synthetic chest X-rays",
}
"""What a recipe is for, by a word of its name; any class folders where there is none."""

Name = Annotated[str, typer.Argument(help="A recipe; `list` shows them.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List the recipes, and what was last measured of each."""
    from imaging.recipes import RECIPES, measured_rows

    measured = measured_rows()
    rows = [_row(name, RECIPES[name](), measured.get(name, {})) for name in RECIPES]
    emit(rows, as_json=as_json, text=None if as_json else _table(rows))


@app.command()
def show(name: Name, as_json: Json = False) -> None:
    """Show a recipe's whole configuration, where it comes from and what was measured."""
    from imaging.recipes import RECIPES, get_recipe, measured_rows

    config, measured = get_recipe(name).model_dump(mode="json"), measured_rows().get(name, {})
    about = _about(RECIPES[name])
    document = {"about": about, "measured": measured, "config": config}
    emit(document, as_json=as_json, text="" if as_json else _text(about, measured, config))


def _row(name: str, config: "TrainConfig", measured: dict[str, str]) -> dict[str, Any]:
    return {
        "name": name,
        "architecture": config.architecture,
        "data": next((DATA[word] for word in name.split("_") if word in DATA), "any class folders"),
        "subject": config.subject,
        "input": f"{config.input.channels}x{config.input.size}x{config.input.size}",
        "stages": {stage.name: stage.epochs for stage in config.stages},
        "measured": measured,
    }


def _table(rows: list[dict[str, Any]]) -> "Table":
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("recipe", no_wrap=True)
    for column in ("data", "input", "epochs", "measured"):
        table.add_column(column, overflow="fold")
    for row in rows:
        epochs = "+".join(str(count) for count in row["stages"].values())
        table.add_row(row["name"], row["data"], row["input"], epochs, _measured(row["measured"]))
    return table


def _measured(cells: dict[str, str]) -> str:
    """Write a measured row in one line, without the columns' own remarks."""
    if not cells or "not measured yet" in cells.values():
        return "not measured yet"
    names = {column: column.partition("(")[0].partition(",")[0].strip() for column in cells}
    return "; ".join(
        value if names[column] == "hardware" else f"{names[column]} {value}" for column, value in cells.items()
    )


def _about(recipe: Any) -> str:
    """Return a recipe's own words, and the source that its module names."""
    import inspect
    import re

    own = inspect.cleandoc(recipe.__doc__ or "")
    module = inspect.getdoc(inspect.getmodule(recipe)) or ""
    sources = re.findall(r"(?ms)^Sources?: .*?(?=\n\n|\Z)", module)
    return "\n\n".join([own, *(source for source in sources if source not in own)])


def _text(about: str, measured: dict[str, str], config: dict[str, Any]) -> str:
    import yaml

    known = "\n".join(f"# {name}: {value}" for name, value in measured.items()) or "# not measured yet"
    said = "\n".join(f"# {line}".rstrip() for line in about.splitlines())
    return f"{said}\n{known}\n{yaml.safe_dump(config, sort_keys=False).rstrip()}"
