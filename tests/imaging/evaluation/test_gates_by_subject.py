"""Which gates are asked of which model: ruled by the table, said in the answer, and never less for what is served."""

from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from imaging.evaluation.gate import GateReport, GateResult, GateRow
from imaging.evaluation.gate_table import GateTable, judge
from imaging.evaluation.gates import GATES
from imaging.evaluation.report import render_gates
from imaging.evaluation.schema import Evaluation, Figure

ROWS = {
    row.name: row for row in GateTable.model_validate(yaml.safe_load(Path("pipelines/gates.yaml").read_text())).gates
}
OF_PATIENTS = {"critical_sensitivity", "robustness", "subgroup_gap"}


def answers(evaluation: Evaluation, tmp_path: Path) -> dict[str, GateResult]:
    file = tmp_path / "evaluation.json"
    file.write_text(evaluation.model_dump_json())
    return {result.gate: result for result in judge(file, tmp_path, ROWS)}


@pytest.fixture
def picture(good: Evaluation) -> Evaluation:
    changes = {"subject": "picture", "model_name": "lenet5-mnist", "critical_classes": (), "subgroups": ()}
    return good.model_copy(update=changes)


def test_a_gate_about_patients_is_not_applicable_to_a_picture_and_says_why(picture: Evaluation, tmp_path: Path) -> None:
    found = answers(picture, tmp_path)
    assert {gate for gate, result in found.items() if not result.applies} == OF_PATIENTS
    for gate in OF_PATIENTS:
        assert (found[gate].passed, found[gate].failed, found[gate].answer) == (False, False, "not applicable")
        assert ROWS[gate].elsewhere in found[gate].reason
    assert all(result.reason for result in found.values())


def test_the_other_gates_judge_a_picture_by_the_same_bounds(
    picture: Evaluation, good: Evaluation, tmp_path: Path
) -> None:
    theirs, ours = answers(picture, tmp_path), answers(good, tmp_path)
    for gate in GATES.keys() - OF_PATIENTS - {"package"}:
        assert (theirs[gate].passed, theirs[gate].bound) == (ours[gate].passed, ours[gate].bound)
    low = picture.overall.model_copy(update={"macro_auroc": Figure(value=0.6, low=0.5, high=0.7)})
    assert answers(picture.model_copy(update={"overall": low}), tmp_path)["discrimination"].failed


def test_what_is_served_meets_every_gate_whatever_it_says_it_shows(picture: Evaluation, tmp_path: Path) -> None:
    disguised = picture.model_copy(update={"model_name": "chest-xray"})
    found = answers(disguised, tmp_path)
    assert all(result.applies for result in found.values())
    assert found["critical_sensitivity"].failed


def test_radiographs_under_another_name_meet_every_gate_too(good: Evaluation, tmp_path: Path) -> None:
    renamed = good.model_copy(update={"model_name": "densenet121-pneumonia"})
    assert all(result.applies for result in answers(renamed, tmp_path).values())


def test_radiographs_without_a_recorded_subgroup_pass_that_gate_with_the_reason(
    good: Evaluation, tmp_path: Path
) -> None:
    nothing = {"subgroups": (), "subgroups_not_recorded": ("sex", "age_band", "view", "site", "manufacturer")}
    found = answers(good.model_copy(update=nothing), tmp_path)["subgroup_gap"]
    assert (found.passed, found.reason) == (True, "no subgroup is recorded in the test part")
    some = {"subgroups": (), "subgroups_not_recorded": ("sex",)}
    assert answers(good.model_copy(update=some), tmp_path)["subgroup_gap"].failed


def test_evidence_counts_images_where_each_is_a_patient_of_its_own(good: Evaluation, tmp_path: Path) -> None:
    assert "test patients: " in answers(good, tmp_path)["evidence"].reason
    alone = good.model_copy(update={"n_patients": good.n_images})
    assert "test images, each a patient of its own: " in answers(alone, tmp_path)["evidence"].reason


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"applies_to": ["picture"], "elsewhere": "x"}, "has to apply to radiographs"),
        ({"applies_to": ["radiograph"]}, "does not say why"),
        ({"applies_to": ["radiograph", "drawing"]}, "picture"),
    ],
)
def test_a_row_can_leave_out_pictures_only_and_only_with_a_reason(row: dict, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        GateRow.model_validate({"name": "evidence", "bound": 1, "owner": "o", "why": "w", **row})


def test_the_page_tells_not_applicable_from_failed() -> None:
    one = {"figure": None, "bound": 0, "reason": "r"}
    results = (
        GateResult(gate="evidence", passed=True, **one),
        GateResult(gate="subgroup_gap", passed=False, applies=False, **one),
    )
    html = render_gates(GateReport(passed=True, results=results, table_digest="t", package_digest="p"))
    assert "1 of them not applicable" in html
    assert "FAIL" not in html
