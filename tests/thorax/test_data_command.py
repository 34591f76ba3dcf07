"""`thorax data ingest` from the command line."""

import json

import numpy as np
from PIL import Image
from typer.testing import CliRunner

from audit import AuditLog
from imaging.data.dataset import load_dataset
from thorax.commands.data import app


def test_ingest_answers_in_json_keeps_the_dataset_in_the_home_and_records_it(tmp_path, home):
    for label in ("a", "b"):
        (tmp_path / "in" / label).mkdir(parents=True)
        for i in range(2):
            noise = np.random.default_rng([ord(label), i]).integers(0, 256, (6, 6), dtype=np.uint8)
            Image.fromarray(noise).resize((80, 80)).save(tmp_path / "in" / label / f"{i}.png")
    answer = CliRunner().invoke(app, ["ingest", str(tmp_path / "in"), "--size", "32", "--name", "demo", "--json"])
    assert answer.exit_code == 0, answer.output
    result = json.loads(answer.stdout)
    assert load_dataset(home / "datasets" / f"demo-{result['digest'][7:19]}").digest == result["digest"]
    assert [event.subject for event in AuditLog(home / "audit").events()] == [result["digest"]]
    shown = CliRunner().invoke(app, ["ingest", str(tmp_path / "in"), "--size", "32", "--name", "demo"])
    assert result["digest"] in shown.stdout
