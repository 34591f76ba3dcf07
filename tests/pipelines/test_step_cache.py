from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kfp import dsl

from pipelines.step_cache import StepCache


def outputs_in(folder: Path) -> dict:
    model = folder / "model"
    model.mkdir(parents=True, exist_ok=True)
    (model / "weights").write_bytes(bytes(range(64)))
    (model / "info.json").write_text("{}")
    return {
        "model": dsl.Model(name="model", uri=str(model), metadata={"recipe": "a"}),
        "metrics": dsl.Metrics(name="metrics", uri=str(folder / "metrics"), metadata={"loss": 0.5}),
        "Output": 3,
    }


def key_of(cache: StepCache, **arguments) -> str:
    return cache.compute_key("comp-train", "image", ["sh"], arguments)


def test_what_was_kept_comes_back_with_its_metadata(tmp_path: Path) -> None:
    cache = StepCache(str(tmp_path / "cache"))
    cache.put("key", outputs_in(tmp_path))
    found = cache.get("key")

    assert found["Output"] == 3
    assert isinstance(found["model"], dsl.Model)
    assert found["model"].metadata == {"recipe": "a"}
    assert found["metrics"].metadata == {"loss": 0.5}
    assert cache.get("other") is None


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(0, 400))
def test_an_entry_cut_anywhere_is_not_reused(tmp_path: Path, cut: int) -> None:
    cache = StepCache(str(tmp_path / "cache"))
    cache.put("key", outputs_in(tmp_path))
    entry = tmp_path / "cache" / "key.json"
    whole = entry.read_text()
    entry.write_text(whole[: min(cut, len(whole) - 1)])

    assert cache.get("key") is None


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.integers(0, 63), value=st.integers(0, 255))
def test_outputs_with_any_changed_byte_are_not_reused(tmp_path: Path, position: int, value: int) -> None:
    cache = StepCache(str(tmp_path / "cache"))
    cache.put("key", outputs_in(tmp_path))
    weights = tmp_path / "model" / "weights"
    changed = bytearray(weights.read_bytes())
    changed[position] = value
    weights.write_bytes(changed)

    assert (cache.get("key") is not None) == (changed == bytes(range(64)))


@pytest.mark.parametrize("harm", ["missing", "more", "gone"])
def test_outputs_with_a_file_less_or_more_are_not_reused(tmp_path: Path, harm: str) -> None:
    cache = StepCache(str(tmp_path / "cache"))
    cache.put("key", outputs_in(tmp_path))
    model = tmp_path / "model"
    if harm == "missing":
        (model / "info.json").unlink()
    elif harm == "more":
        (model / "half").write_text("")
    else:
        model.rename(tmp_path / "elsewhere")

    assert cache.get("key") is None


def test_an_artifact_with_a_digest_counts_by_it_and_not_by_its_place(tmp_path: Path) -> None:
    cache = StepCache(str(tmp_path))
    here, there = (dsl.Dataset(uri=f"/{place}", metadata={"digest": "sha256:1"}) for place in "ab")
    other = dsl.Dataset(uri="/a", metadata={"digest": "sha256:2"})
    bare_here, bare_there = dsl.Dataset(uri="/a"), dsl.Dataset(uri="/b")

    assert key_of(cache, dataset=here) == key_of(cache, dataset=there)
    assert key_of(cache, dataset=here) != key_of(cache, dataset=other)
    assert key_of(cache, dataset=bare_here) != key_of(cache, dataset=bare_there)
    assert key_of(cache, recipe="a") != key_of(cache, recipe="b")
