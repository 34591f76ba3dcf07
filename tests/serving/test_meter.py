"""The figures of the endpoint: every request counted by its outcome, nothing of a caller or a patient in them."""

import re
from types import SimpleNamespace

import pytest
import yaml
from ts.metrics.metric_cache_yaml_impl import MetricsCacheYamlImpl

from serving.meter import METRICS, NoMeter, TorchServeMeter, meter_of
from tests.serving.factories import MetricsCache, chest, dicom, png
from thorax.stack.metrics import metrics_yaml


def test_every_request_is_counted_by_its_outcome(handler):
    served, context = handler
    context.headers = [{"X-Request-Id": "case-77"}, {}, {}]
    served.handle([{"body": dicom()}, {"body": b"no image"}, {"body": png(chest(2))}], context)
    kept = context.metrics.kept
    counted = [dimensions for name, value, dimensions in kept if name == "thorax_requests_total" and value == 1]
    assert sorted(counted) == [["ok", "7"], ["ok", "7"], ["unsupported_media_type", "7"]]
    assert sum(name == "thorax_triage_total" for name, _, _ in kept) == 2
    assert [value for name, value, _ in kept if name == "thorax_batch_size"] == [3]
    seconds = {dimensions[0]: value for name, value, dimensions in kept if name == "thorax_seconds"}
    assert 0 < seconds["decode"] + seconds["predict"] <= seconds["all"] * 1.01
    scores = [value for name, value, _ in kept if name == "thorax_score"]
    assert sum(scores) == pytest.approx(2, abs=1e-4)
    text = str(kept)
    assert not any(word in text for word in ("case-77", "Doe", "SECRET-77"))


def test_torchserve_takes_the_configuration_and_each_metric_with_its_dimensions(tmp_path):
    path = tmp_path / "metrics.yaml"
    path.write_text(metrics_yaml())
    cache = MetricsCacheYamlImpl(config_file_path=str(path))
    cache.initialize_cache()
    assert isinstance(meter_of(cache, "7"), TorchServeMeter)
    described = yaml.safe_load(metrics_yaml())["model_metrics"]
    for metric in METRICS:
        (found,) = [one for one in described[metric.kind] if one["name"] == metric.name]
        assert found["dimensions"] == list(metric.dimensions)
        assert re.fullmatch(r"thorax_[a-z_]+", metric.name)
    assert {one["name"] for one in described["gauge"]} >= {"PredictionTime"}


def test_a_torchserve_without_our_metrics_answers_all_the_same():
    from ts.metrics.metric_cache_errors import MetricsCacheKeyError

    def nothing(_name: str, _kind: object) -> None:
        raise MetricsCacheKeyError("none")

    assert isinstance(meter_of(SimpleNamespace(get_metric=nothing), "7"), NoMeter)
    assert isinstance(meter_of(None, "7"), NoMeter)
    assert isinstance(meter_of(MetricsCache(), "7"), TorchServeMeter)
