"""Which setting is taken of those that were tried, and where it is written."""

import json

from hypothesis import given
from hypothesis import strategies as st

from serving.archive import TUNED, WorkerConfig, worker_config
from thorax.serve_tuning import CLEARLY, Tried, best_of, settings_to_try, write_choice


def tried(*rates: float) -> list[Tried]:
    configs = settings_to_try(2)
    return [Tried(config=configs[i], answers_per_s=rate, p99_s=0.1) for i, rate in enumerate(rates)]


def test_a_simpler_setting_stays_where_nothing_is_clearly_faster():
    assert best_of(tried(10.0, 10.2, 9.0)).config == settings_to_try(2)[0]
    assert best_of(tried(10.0, 12.0, 12.1)).config == settings_to_try(2)[1]


@given(st.lists(st.floats(0.1, 1000), min_size=1, max_size=6))
def test_nothing_that_was_tried_is_clearly_faster_than_the_one_that_is_taken(rates):
    best = best_of(tried(*rates))
    assert max(rates) <= best.answers_per_s * CLEARLY
    assert best.answers_per_s in rates


def test_every_setting_uses_the_cores_once():
    for cores in (1, 2, 16):
        configs = settings_to_try(cores)
        assert configs[0] == WorkerConfig(workers=1, batch_size=1, max_batch_delay_ms=0)
        assert all(config.workers * (config.threads or cores) == cores for config in configs)


def test_the_choice_is_what_the_next_release_reads(home):
    home.mkdir(parents=True)
    path = write_choice(home, tried(1.0, 2.0), callers=8)
    assert path == home / TUNED
    assert worker_config(home) == settings_to_try(2)[1]
    assert len(json.loads(path.read_text())["tried"]) == 2
