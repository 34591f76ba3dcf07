import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from imaging.evaluation import check_gates_on_disk
from imaging.evaluation.gate import GateReport, GateResult
from imaging.evaluation.gate_table import GateTable, judge
from imaging.evaluation.gates import GATES
from imaging.evaluation.schema import Evaluation, Figure
from tests.imaging.evaluation.conftest import Finished

TABLE = Path("pipelines/gates.yaml")
ROWS = {row.name: row for row in GateTable.model_validate(yaml.safe_load(TABLE.read_text())).gates}
JUDGED_ON_FIGURES = sorted(set(GATES) - {"package"})
MISSING = {"value": None, "low": None, "high": None}


def changed(evaluation: Evaluation, path: str, value: Any) -> Evaluation:
    """A copy with the field at the dotted `path` replaced."""
    document = evaluation.model_dump()
    place: Any = document
    *way, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    for step in way:
        place = place[step]
    place[last] = value
    return Evaluation.model_validate(document)


def ask(evaluation: Evaluation, gate: str, tmp_path: Path) -> GateResult:
    file = tmp_path / "evaluation.json"
    file.write_text(evaluation.model_dump_json())
    (result,) = judge(file, tmp_path, {gate: ROWS[gate]})
    return result


CHAMPION = {
    "champion_digest": "sha256:c",
    "delta_macro_auroc": {"value": 0.0, "low": -0.009, "high": 0.01},
    "champion_macro_auroc": {"value": 0.9, "low": 0.8, "high": 0.95},
}
WORSE = {**CHAMPION, "delta_macro_auroc": {"value": -0.02, "low": -0.03, "high": 0.01}}
INCOMPARABLE = {**CHAMPION, "delta_macro_auroc": MISSING, "problem": "other classes"}


def gaps(together: dict[str, float]) -> list[dict[str, Any]]:
    """One group whose own interval is beyond chance; `together` is its gap among all groups."""
    own = {"value": together["value"], "low": 0.01, "high": 0.1}
    counts = {"n_images": 90, "n_patients": 90, "patients_per_class": {}, "powered": True}
    return [
        {"column": "sex", "value": "F", **counts, "macro_auroc": {"value": 0.8}, "gap": own, "gap_together": together}
    ]


SPOILT = [
    ("split_overlap", "overlap.patients", 1, "1 patients"),
    ("split_overlap", "overlap.duplicates", 2, "2 duplicate"),
    ("evidence", "per_class.covid.n_patients", 29, "29 covid"),
    ("evidence", "per_class", {}, "missing"),
    ("discrimination", "overall.macro_auroc", {"value": 0.95, "low": 0.79, "high": 0.99}, "0.790"),
    ("discrimination", "floors.macro_auroc_lower", 0.99, "macro AUROC"),
    ("discrimination", "overall.macro_auroc", MISSING, "missing"),
    ("discrimination", "overall.macro_auroc", {"value": 0.95}, "missing"),
    ("critical_sensitivity", "per_class.covid.sensitivity", {"value": 0.9, "low": 0.59, "high": 1.0}, "0.590"),
    ("critical_sensitivity", "per_class.covid.operating_point", None, "missing"),
    ("critical_sensitivity", "per_class.pneumonia.sensitivity", MISSING, "missing"),
    ("critical_sensitivity", "critical_classes", (), "missing"),
    ("calibration", "calibration.debiased_after", {"value": 0.2, "low": 0.0, "high": 0.3}, "0.200"),
    ("calibration", "calibration.chance", None, "missing"),
    ("calibration", "calibration.change", MISSING, "missing"),
    ("calibration", "calibration.debiased_after", MISSING, "missing"),
    ("subgroup_gap", "subgroups", gaps({"value": 0.06, "low": 0.001, "high": 0.12}), "beyond chance"),
    ("subgroup_gap", "subgroups.0.gap", MISSING, "missing"),
    ("subgroup_gap", "subgroups.0.gap_together", MISSING, "among all groups"),
    ("subgroup_gap", "subgroups", (), "missing"),
    ("non_inferiority", "champion", WORSE, "-0.030"),
    ("non_inferiority", "champion", INCOMPARABLE, "other classes"),
    ("robustness", "robustness", None, "missing"),
    ("robustness", "robustness.corruptions.2.drop", MISSING, "missing"),
    ("robustness", "robustness.corruptions.2.lowest_drop", None, "missing"),
    ("coverage", "uncertainty", None, "missing"),
    ("coverage", "uncertainty.coverage.marginal.coverage", MISSING, "missing"),
    ("coverage", "uncertainty.coverage.marginal.n_patients", 0, "missing"),
    ("coverage", "uncertainty.coverage.marginal.coverage.value", 0.8, "below what chance explains"),
    ("coverage", "uncertainty.coverage.level", 0.8, "promise 80%"),
    ("export_parity", "export", None, "missing"),
    ("export_parity", "export.files", [], "missing"),
    ("export_parity", "export.files.0.largest_difference", None, "missing"),
    ("export_parity", "export.files.0.n_images", 99, "missing"),
    ("export_parity", "export.files.0.largest_difference", 1.1e-4, "1.1e-04"),
    ("latency", "latency.p95_ms", 1001.0, "1001 ms"),
    ("latency", "floors.latency_p95_ms", 11.0, "12 ms"),
    ("latency", "latency.p95_ms", None, "missing"),
    ("latency", "latency.p95_ms", float("nan"), "missing"),
]


@pytest.mark.parametrize("gate", JUDGED_ON_FIGURES)
def test_a_good_model_passes(gate, good, tmp_path):
    result = ask(good, gate, tmp_path)
    assert result.passed, result.reason
    assert result.why


@pytest.mark.parametrize(("gate", "path", "value", "said"), SPOILT)
def test_a_bad_or_missing_figure_fails_its_gate_and_says_why(gate, path, value, said, good, tmp_path):
    result = ask(changed(good, path, value), gate, tmp_path)
    assert not result.passed
    assert said in result.reason
    assert result.told.endswith(f"(ask: {ROWS[gate].owner})")


def test_every_gate_on_figures_is_seen_to_fail():
    assert {gate for gate, *_ in SPOILT} == set(JUDGED_ON_FIGURES)


def test_a_recipe_can_raise_a_bound_but_not_lower_it(good, tmp_path):
    lenient = changed(good, "floors.macro_auroc_lower", 0.5)
    assert ask(lenient, "discrimination", tmp_path).bound == ROWS["discrimination"].bound
    slow = changed(good, "floors.latency_p95_ms", 1e9)
    assert ask(slow, "latency", tmp_path).bound == ROWS["latency"].bound
    timid = changed(good, "floors.sensitivity_lower", {})
    assert ask(timid, "critical_sensitivity", tmp_path).bound == ROWS["critical_sensitivity"].bound


def test_no_champion_passes_with_that_reason_and_a_slightly_worse_model_within_the_margin_too(good, tmp_path):
    assert "no champion" in ask(good, "non_inferiority", tmp_path).reason
    assert ask(changed(good, "champion", CHAMPION), "non_inferiority", tmp_path).passed


@pytest.mark.parametrize(("chance", "passed"), [(0.03, False), (0.06, True)])
def test_a_calibration_error_above_the_bound_fails_only_beyond_chance(chance, passed, good, tmp_path):
    figure = {"value": 0.051, "low": 0.0, "high": 0.1}
    judged = changed(changed(good, "calibration.debiased_after", figure), "calibration.chance", chance)
    assert ask(judged, "calibration", tmp_path).passed is passed


@pytest.mark.parametrize(("chance", "passed"), [(0.02, False), (0.04, True)])
def test_a_temperature_that_made_calibration_worse_beyond_chance_fails(chance, passed, good, tmp_path):
    judged = changed(good, "calibration.debiased_after", {"value": 0.03, "low": 0.0, "high": 0.1})
    judged = changed(judged, "calibration.change", {"value": 0.02, "low": 0.001, "high": 0.04})
    result = ask(changed(judged, "calibration.chance", chance), "calibration", tmp_path)
    assert result.passed is passed
    assert passed or "worse than before" in result.reason


def test_a_gap_that_chance_explains_passes_and_small_groups_are_only_reported(good, tmp_path):
    noisy = changed(good, "subgroups", gaps({"value": 0.08, "low": -0.01, "high": 0.2}))
    assert ask(noisy, "subgroup_gap", tmp_path).passed
    small = [{**one.model_dump(), "powered": False, "gap": MISSING} for one in good.subgroups]
    result = ask(changed(good, "subgroups", small), "subgroup_gap", tmp_path)
    assert result.passed
    assert "under-powered" in result.reason


@given(st.floats(0.5, 1), st.floats(0.5, 1))
@settings(max_examples=30, deadline=None)
def test_a_better_lower_bound_never_turns_a_pass_into_a_fail(good, tmp_path_factory, one, other):
    folder = tmp_path_factory.getbasetemp()
    worse, better = sorted((one, other))
    passed = [
        ask(
            changed(good, "overall.macro_auroc", {"value": 1.0, "low": low, "high": 1.0}), "discrimination", folder
        ).passed
        for low in (worse, better)
    ]
    assert passed[0] <= passed[1]


def test_nan_becomes_a_missing_figure():
    assert Figure(value=float("nan"), low=float("inf")) == Figure(value=None)


@pytest.fixture
def check(finished: Finished, tmp_path: Path) -> Callable[..., GateReport]:
    def run(
        package: Path = finished.package, evaluation: Path = finished.evaluation, table: Path = TABLE
    ) -> GateReport:
        return check_gates_on_disk(package, evaluation, table, tmp_path / "gates")

    return run


def verdict(report: GateReport, gate: str) -> GateResult:
    (result,) = (one for one in report.results if one.gate == gate)
    return result


def test_the_installed_table_names_every_gate_and_a_reason_for_it():
    assert set(ROWS) == set(GATES)
    assert all(row.why for row in ROWS.values())


def test_the_report_is_written_with_the_tables_and_the_packages_digest(check, finished, tmp_path):
    from imaging.packaging import package_digest

    report = check()
    written = json.loads((tmp_path / "gates" / "gates.json").read_text())
    assert GateReport.model_validate(written) == report
    assert [one.gate for one in report.results] == list(ROWS)
    assert report.package_digest == package_digest(finished.package)
    assert report.table_digest.startswith("sha256:")
    html = (tmp_path / "gates" / "gates.html").read_text()
    assert all(one.reason.split("'")[0] in html for one in report.results if "<" not in one.reason)


def test_a_small_test_part_fails_for_lack_of_evidence_and_so_does_the_whole(check):
    report = check()
    assert not verdict(report, "evidence").passed
    assert not report.passed


def test_a_row_taken_out_or_put_in_or_doubled_fails(check, tmp_path):
    table = yaml.safe_load(TABLE.read_text())
    shorter = {**table, "gates": [row for row in table["gates"] if row["name"] != "calibration"]}
    for name, content in {
        "shorter": shorter,
        "longer": {**table, "gates": [*table["gates"], {"name": "luck", "bound": 0, "owner": "nobody", "why": "none"}]},
        "doubled": {**table, "gates": [*table["gates"], table["gates"][0]]},
    }.items():
        (tmp_path / name).write_text(yaml.safe_dump(content))
    assert "not in the table" in verdict(check(table=tmp_path / "shorter"), "calibration").reason
    assert "no such gate" in verdict(check(table=tmp_path / "longer"), "luck").reason
    assert "twice" in verdict(check(table=tmp_path / "doubled"), "table").reason


@pytest.mark.parametrize(
    "text",
    [
        "",
        "gates: []",
        "gates: [{name: evidence}]",
        "gates: [{name: evidence, bound: 1, why: w}]",
        "skip: [package]",
        "{",
        "[1]",
    ],
)
def test_a_table_that_cannot_be_read_fails(text, check, tmp_path):
    (tmp_path / "table").write_text(text)
    report = check(table=tmp_path / "table")
    assert not report.passed
    assert report.results[0].gate == "table"


def test_without_an_evaluation_every_gate_fails(check, tmp_path):
    (tmp_path / "evaluation.json").write_text("{}")
    for evaluation in (tmp_path / "nothing", tmp_path / "evaluation.json"):
        report = check(evaluation=evaluation)
        assert [one.passed for one in report.results] == [False] * len(GATES)
