"""How TorchServe runs a model: the defaults, or what was found good for this machine."""

import json

import pytest
import yaml

from imaging.errors import ConfigurationError
from serving.archive import TUNED, WorkerConfig, worker_config


def test_without_tuning_the_defaults_hold_and_an_archive_says_nothing_of_threads(home):
    assert worker_config(home) == WorkerConfig()
    assert "handler" not in yaml.safe_load(WorkerConfig().to_yaml())


def test_what_was_chosen_is_what_a_release_uses(home):
    chosen = {"workers": 2, "threads": 1, "batch_size": 8, "max_batch_delay_ms": 5}
    home.mkdir(parents=True)
    (home / TUNED).write_text(json.dumps({"chosen": chosen, "tried": []}))
    config = worker_config(home)
    written = yaml.safe_load(config.to_yaml())
    assert (written["minWorkers"], written["maxWorkers"], written["batchSize"]) == (2, 2, 8)
    assert written["handler"] == {"threads": 1}


@pytest.mark.parametrize("text", ["", "{}", '{"chosen": {"workers": "many"}}', '{"chosen": 3}', "\x00"])
def test_a_file_that_is_something_else_is_said_with_what_to_do(home, text):
    home.mkdir(parents=True)
    (home / TUNED).write_text(text)
    with pytest.raises(ConfigurationError, match="thorax serve tune"):
        worker_config(home)
