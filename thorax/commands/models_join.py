"""`thorax models join`: several trained networks as one model."""

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from thorax.console import emit, say, talk

Members = Annotated[list[Path], typer.Argument(help="Model directories of one recipe, trained from different seeds.")]
Data = Annotated[Path, typer.Option("--data", help="The dataset version they were trained on, to calibrate on.")]
Out = Annotated[Path, typer.Option(help="The model directory to write.")]
SplitFile = Annotated[Path | None, typer.Option("--split", help="Its split; found where absent.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


def join(members: Members, data: Data, out: Out, split: SplitFile = None, as_json: Json = False) -> None:
    """Make an ensemble of several trained networks and calibrate it: it answers with the mean of theirs."""
    from imaging.errors import ConfigurationError
    from imaging.evaluation import calibrate_on_disk
    from imaging.models.directory import load_info
    from imaging.models.joining import join_models
    from thorax.commands.evaluate import split_of

    if out.exists():
        raise ConfigurationError(f"{out} exists; give another folder by --out, or remove it")
    with tempfile.TemporaryDirectory() as work, talk.status("joining, and calibrating their mean…"):
        info = join_models(members, Path(work) / "joined")
        file = split_of(members[0], load_info(members[0]), data, given=split, folder=Path(work))
        found = calibrate_on_disk(Path(work) / "joined", data, file, out)
    document = {"model": str(out), "members": info.members, **found.model_dump(mode="json")}
    text = f"{out}: {info.members} networks, calibrated by {found.method}, loss {found.nll_after:.3f} nats"
    emit(document, as_json=as_json, text=text)
    say(f"`thorax evaluate {out} --data {data}` measures it")
