"""`thorax serve tune` on a real TorchServe of its own."""

import json

import psutil
import pytest
from typer.testing import CliRunner

from imaging.errors import SignatureError
from imaging.settings import Settings
from serving.archive import WorkerConfig, worker_config
from tests.serving.factories import chest, png, write_package
from tests.signing import trust
from thorax import serve_tuning
from thorax.cli import app

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]
SOME = [
    WorkerConfig(workers=1, batch_size=1, max_batch_delay_ms=0),
    WorkerConfig(workers=2, threads=1, batch_size=4),
]


def workers_of_a_tuning() -> int:
    found = 0
    for process in psutil.process_iter(["cmdline"]):
        command = " ".join(process.info["cmdline"] or ())
        found += "model_service_worker" in command and "thorax-tune-" in command
    return found


def test_settings_are_tried_on_a_server_of_its_own_and_the_best_is_kept(home, tmp_path, monkeypatch):
    write_package(tmp_path / "package")
    trust(home)
    seen: list[int] = []
    real = serve_tuning.ask

    def ask(*args, **more):
        seen.append(workers_of_a_tuning())
        return real(*args, **more)

    monkeypatch.setattr(serve_tuning, "ask", ask)
    monkeypatch.setattr(serve_tuning, "settings_to_try", lambda _cores: SOME)
    command = ["serve", "tune", "--package", str(tmp_path / "package"), "--requests", "16", "--json"]
    run = CliRunner().invoke(app, command)
    assert run.exit_code == 0, run.output
    tried = json.loads(run.stdout)["tried"]
    assert [(one["workers"], one["threads"], one["batch_size"]) for one in tried] == [(1, 0, 1), (2, 1, 4)]
    assert all(one["answers_per_s"] > 0 for one in tried)
    assert sum(one["chosen"] for one in tried) == 1
    assert worker_config(home) in SOME
    assert (seen[0], seen[-1]) == (1, 2)
    assert workers_of_a_tuning() == 0


def test_a_package_that_nobody_trusted_signed_is_not_tried(home, tmp_path):
    write_package(tmp_path / "package")
    with pytest.raises(SignatureError):
        serve_tuning.tune(tmp_path / "package", png(chest()), Settings(home=home))
