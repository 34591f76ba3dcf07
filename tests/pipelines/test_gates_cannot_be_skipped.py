"""Nothing that somebody sets, passes or writes beside a failing figure makes its gate pass."""

import inspect
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import typer
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from components.check_gates import check_gates
from components.gate_record import answer_gates, installed_table
from imaging.errors import GateFailureError
from imaging.evaluation.gate_table import check_gates_on_disk, judge
from tests.imaging.evaluation.factories import passing_evaluation
from tests.imaging.evaluation.test_gates import ROWS, SPOILT, TABLE, changed

WAY_AROUND = re.compile(r"gate|skip|force|ignore|bypass|bound|waive|unsafe|anyway", re.IGNORECASE)
GOOD = passing_evaluation()
NAMES = st.one_of(
    st.sampled_from(
        ["THORAX_SKIP_GATES", "THORAX_GATES", "THORAX_FORCE", "THORAX_GATES_TABLE", "SKIP_GATES", "DEBUG", "CI"]
    ),
    st.from_regex(r"(THORAX_)?[A-Z_]{1,16}", fullmatch=True),
)
VALUES = st.one_of(
    st.sampled_from(["1", "true", "all", "skip", "pass", "0", ""]),
    st.text(st.characters(codec="ascii", min_codepoint=32)),
)
ENVIRONMENTS = st.dictionaries(NAMES.filter(lambda name: name not in os.environ), VALUES, max_size=4)


@given(environment=ENVIRONMENTS, spoilt=st.sampled_from(SPOILT))
@settings(max_examples=200, deadline=None)
def test_no_environment_makes_a_failing_gate_pass(environment, spoilt, tmp_path_factory):
    gate, path, value, _ = spoilt
    file = tmp_path_factory.getbasetemp() / "spoilt.json"
    file.write_text(changed(GOOD, path, value).model_dump_json())
    with patch.dict(os.environ, environment):
        try:
            (result,) = judge(file, file.parent, {gate: ROWS[gate]})
        except ValidationError:  # a setting that cannot be stops everything
            return
    assert result.failed


@given(environment=ENVIRONMENTS)
@settings(max_examples=25, deadline=None)
def test_in_no_environment_does_the_step_let_a_model_without_a_package_through(environment, tmp_path_factory):
    place = tmp_path_factory.mktemp("step")
    (place / "evaluation.json").write_text(GOOD.model_dump_json())
    with (
        patch.dict(os.environ, {"THORAX_HOME": str(place / "home"), **environment}),
        pytest.raises((GateFailureError, ValidationError)),
    ):
        answer_gates(place / "package", place / "evaluation.json", place / "out")


@given(
    extra=st.dictionaries(st.sampled_from(["skip", "gates", "passed", "waived", "force"]), st.booleans(), min_size=1),
    spoilt=st.sampled_from(SPOILT),
)
@settings(max_examples=50, deadline=None)
def test_nothing_written_beside_the_figures_makes_a_failing_gate_pass(extra, spoilt, tmp_path_factory):
    gate, path, value, _ = spoilt
    file = tmp_path_factory.getbasetemp() / "beside.json"
    document = json.loads(changed(GOOD, path, value).model_dump_json())
    file.write_text(json.dumps({**document, **extra}))
    (result,) = judge(file, file.parent, {gate: ROWS[gate]})
    assert result.failed


@given(floor=st.floats(0.5, 1), sensitivity=st.dictionaries(st.sampled_from(["covid", "pneumonia"]), st.floats(0, 1)))
@settings(max_examples=50, deadline=None)
def test_a_recipe_can_raise_a_bound_and_never_lower_it(floor, sensitivity, tmp_path_factory):
    file = tmp_path_factory.getbasetemp() / "floors.json"
    low = {"value": 0.9, "low": 0.4, "high": 1.0}
    poor = changed(changed(GOOD, "overall.macro_auroc", {**low, "low": 0.69}), "per_class.covid.sensitivity", low)
    poor = changed(changed(poor, "floors.macro_auroc_lower", floor), "floors.sensitivity_lower", sensitivity)
    file.write_text(poor.model_dump_json())
    asked = {name: ROWS[name] for name in ("discrimination", "critical_sensitivity")}
    assert all(result.failed for result in judge(file, file.parent, asked))


def test_the_step_is_given_a_package_and_an_evaluation_and_nothing_else():
    spec = check_gates.component_spec
    assert set(spec.inputs) == {"package", "evaluation"}
    assert set(inspect.signature(answer_gates).parameters) == {"package", "evaluation", "out"}
    assert installed_table() == TABLE.resolve()


def test_the_judge_takes_no_option():
    taken = {*inspect.signature(check_gates_on_disk).parameters, *inspect.signature(judge).parameters}
    assert taken == {"package", "evaluation", "table", "out", "settings", "rows"}


def _options(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    for parameter in command.params:
        for name in (*parameter.opts, *parameter.secondary_opts):
            yield " ".join(path), name
    for name, below in getattr(command, "commands", {}).items():
        yield from _options(below, (*path, name))


def test_no_command_has_an_option_around_the_gates():
    from thorax.cli import app

    options = list(_options(typer.main.get_command(app)))
    assert len(options) > 100
    assert [(command, name) for command, name in options if WAY_AROUND.search(name)] == []


def test_no_parameter_of_a_pipeline_goes_around_the_gates():
    compiled = [next(yaml.safe_load_all(file.read_text())) for file in Path("tests/goldens").glob("*.yaml")]
    inputs = [one["root"]["inputDefinitions"]["parameters"] for one in compiled if "root" in one]
    assert len(inputs) > 2
    assert {name for names in inputs for name in names if WAY_AROUND.search(name)} == set()
