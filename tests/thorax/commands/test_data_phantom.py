"""`thorax data phantom` as a function and as a command."""

import json
from pathlib import Path

import typer
from typer.testing import CliRunner

from thorax.commands.data_phantom import phantom

app = typer.Typer()
app.command()(phantom)


def test_the_command_answers_in_json_what_it_wrote(tmp_path: Path):
    done = CliRunner().invoke(app, [str(tmp_path / "p"), "--patients", "2", "--size", "64", "--json"])
    assert done.exit_code == 0, done.output
    answer = json.loads(done.stdout)
    assert answer["patients"] == 2
    assert answer["images"] == len(list((tmp_path / "p" / "images").glob("*.dcm"))) > 0
    assert Path(answer["labels"]).is_file()


def test_the_command_is_callable_as_a_function(tmp_path: Path, capsys):
    phantom(tmp_path / "p", patients=1, size=64, site="B", device_shift=0.5)
    assert "1 synthetic patients" in capsys.readouterr().out
