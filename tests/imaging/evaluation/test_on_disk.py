import json
import re

import numpy as np
import pyarrow.parquet as pq
import pytest

from imaging.data.splits import Split, split_on_disk
from imaging.errors import DataError
from imaging.evaluation import Evaluation, calibrate_on_disk, evaluate_on_disk
from imaging.evaluation.latency import measure_latency
from imaging.evaluation.plots import draw_confusion, roc_curve
from imaging.evaluation.report import figure_text, render_evaluation, sentence
from imaging.evaluation.schema import Figure
from imaging.models.directory import load_info, replace_info
from tests.imaging.evaluation.factories import write_small_dataset


def read(run) -> Evaluation:
    return Evaluation.model_validate_json((run.evaluation / "evaluation.json").read_text())


def test_calibration_writes_a_copy_with_temperature_and_points_for_critical_classes_only(finished):
    before, after = load_info(finished.model), load_info(finished.calibrated)
    assert before.operating_points == {}
    assert set(after.operating_points) == {"covid", "pneumonia"}
    assert "Youden" in after.operating_point_rule
    weights = [(folder / "model.safetensors").read_bytes() for folder in (finished.model, finished.calibrated)]
    assert weights[0] == weights[1]


def test_calibration_repeats_itself_and_never_raises_the_loss(finished, tmp_path):
    found = [
        calibrate_on_disk(finished.model, finished.dataset, finished.split, tmp_path / name) for name in ("one", "two")
    ]
    assert found[0] == found[1]
    assert found[0].nll_after <= found[0].nll_before


def test_the_evaluation_covers_the_test_part_and_reads_back_equal(finished):
    evaluation = read(finished)
    test = Split.load(finished.split).parts["test"]
    assert evaluation.n_images == len(test) == sum(map(sum, evaluation.confusion))
    assert sum(one.n_images for one in evaluation.per_class.values()) == len(test)
    assert evaluation.overlap.patients == evaluation.overlap.duplicates == 0
    assert evaluation.overall.macro_auroc.value > 0.6
    assert Evaluation.model_validate_json(evaluation.model_dump_json()) == evaluation


def test_the_same_evaluation_twice_gives_the_same_figures(finished, tmp_path):
    again = evaluate_on_disk(
        finished.calibrated,
        finished.dataset,
        finished.split,
        tmp_path / "out",
        champion=finished.calibrated,
        resamples=100,
    )
    assert again.model_copy(update={"latency": None}) == read(finished).model_copy(update={"latency": None})


def test_a_model_against_itself_is_neither_better_nor_worse(finished):
    champion = read(finished).champion
    assert champion.delta_macro_auroc == Figure(value=0, low=0, high=0)
    assert champion.champion_macro_auroc == read(finished).overall.macro_auroc


def test_a_champion_of_other_classes_is_a_problem_and_one_of_another_order_is_not(finished, tmp_path):
    renamed = {"classes": ("covid", "normal", "effusion"), "critical_classes": (), "operating_points": {}}
    replace_info(finished.calibrated, tmp_path / "renamed", **renamed)
    replace_info(finished.calibrated, tmp_path / "turned", classes=("normal", "covid", "pneumonia"))

    def champion(name: str):
        out = tmp_path / "out"
        model, data, split = finished.calibrated, finished.dataset, finished.split
        return evaluate_on_disk(model, data, split, out, champion=tmp_path / name, resamples=20).champion

    assert "effusion" in champion("renamed").problem
    assert champion("turned").delta_macro_auroc.value > 0


def test_predictions_are_those_of_the_test_part_and_sum_to_one(finished):
    table = pq.read_table(finished.evaluation / "predictions.parquet")
    assert table.column_names == ["index", "label", "patient", "p_covid", "p_normal", "p_pneumonia"]
    assert table.column("index").to_pylist() == Split.load(finished.split).parts["test"].tolist()
    rows = np.stack([table.column(f"p_{name}").to_numpy() for name in ("covid", "normal", "pneumonia")])
    assert np.abs(rows.sum(axis=0) - 1).max() < 1e-9


def test_the_report_stands_alone_and_says_the_limits_by_itself(finished):
    html = (finished.evaluation / "evaluation.html").read_text()
    assert not re.search(r"(src|href)\s*=\s*[\"'](?!data:)", html)
    assert html.count("data:image/svg+xml") >= 4
    assert html.count("data:image/png") >= 4
    assert "Covid is confounded with its source: every covid image comes from sources" in html
    assert "TRAINED FROM RANDOM WEIGHTS" in html


def test_a_report_without_a_wrong_case_a_champion_or_some_figures_still_reads(good):
    document = good.model_dump()
    document["overall"]["macro_auroc"] = {"value": None}
    document["latency"] |= {"p50_ms": None, "p95_ms": None}
    document["subgroups"] = ()
    evaluation = Evaluation.model_validate(document)
    html = render_evaluation(
        evaluation, drawings=dict.fromkeys(("roc", "reliability", "confusion"), "<svg/>"), right=[], wrong=[]
    )
    assert "There was no champion" in html
    assert "None in this test part" in html
    assert ">None<" not in html


def test_names_from_the_data_cannot_write_html_of_their_own(good):
    evaluation = good.model_copy(update={"recipe": "<script>alert(1)</script>"})
    html = render_evaluation(
        evaluation, drawings=dict.fromkeys(("roc", "reliability", "confusion"), "<svg/>"), right=[], wrong=[]
    )
    assert "<script>" not in html


def test_a_split_or_a_dataset_of_something_else_is_refused(finished, tmp_path):
    other = write_small_dataset(tmp_path / "other", seed=1)
    split_on_disk(other, tmp_path / "other.json")
    with pytest.raises(DataError, match="another dataset version"):
        evaluate_on_disk(finished.calibrated, finished.dataset, tmp_path / "other.json", tmp_path / "out")
    fewer = {"classes": ("covid", "normal", "effusion"), "critical_classes": (), "operating_points": {}}
    replace_info(finished.model, tmp_path / "model", **fewer)
    with pytest.raises(DataError, match="effusion"):
        calibrate_on_disk(tmp_path / "model", finished.dataset, finished.split, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_drawings_are_the_same_bytes_each_time():
    matrix = np.array([[3, 1], [0, 4]])
    first, second = (draw_confusion(matrix, classes=("a", "b")) for _ in range(2))
    assert first == second
    assert first.lstrip().startswith("<?xml")


def test_the_roc_curve_is_scikit_learns():
    from sklearn.metrics import roc_curve as reference

    rng = np.random.default_rng(0)
    scores, positive = rng.integers(0, 9, 60) / 9, rng.random(60) < 0.4
    x, y, _ = reference(positive, scores, drop_intermediate=False)
    ours = roc_curve(scores, positive)
    assert ours[0] == pytest.approx(x)
    assert ours[1] == pytest.approx(y)


def test_latency_counts_each_run_after_warming_up():
    calls = []
    found = measure_latency(lambda: calls.append(1), device="cpu", runs=10)
    assert len(calls) == 13
    assert 0 <= found.p50_ms <= found.p95_ms


def test_a_figure_is_written_with_its_interval_or_a_dash():
    assert figure_text(Figure(value=0.5, low=0.25, high=0.75), 2) == "0.50 (0.25–0.75)"
    assert figure_text(Figure(value=0.5), 2) == "0.50 (no interval)"
    assert figure_text(Figure(value=None)) == figure_text(None) == "–"
    assert sentence("covid is rare") == "Covid is rare."


def test_evaluation_json_holds_no_nan(finished):
    no_numbers: list[str] = []
    json.loads((finished.evaluation / "evaluation.json").read_text(), parse_constant=no_numbers.append)
    assert no_numbers == []
