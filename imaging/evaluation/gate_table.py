"""Reads the table of gates, asks each gate, and writes `gates.json` and `gates.html`. It cannot be told to skip one."""

import hashlib
from pathlib import Path

import yaml
from pydantic import Field, ValidationError

from imaging import atomic
from imaging.config import Frozen
from imaging.errors import ThoraxError
from imaging.evaluation.gate import Evidence, GateReport, GateResult, GateRow, applies
from imaging.evaluation.gates import GATES
from imaging.evaluation.report import render_gates
from imaging.evaluation.schema import Evaluation
from imaging.models.directory import package_digest
from imaging.settings import Settings


class GateTable(Frozen):
    """`gates.yaml`."""

    schema_version: int = 1
    gates: tuple[GateRow, ...] = Field(min_length=1)


def check_gates_on_disk(
    package: Path, evaluation: Path, table: Path, out: Path, *, settings: Settings | None = None
) -> GateReport:
    """Judge a package; a failure is an answer here, not an exception.

    Args:
        package: The finished model directory.
        evaluation: `evaluation.json`, or the folder that holds it.
        table: `gates.yaml`.
        out: Folder for `gates.json` and `gates.html`.
        settings: Say whose signature is trusted; this process's where absent.
    """
    text = table.read_bytes() if table.is_file() else b""
    rows, problems = read_table(text)
    file = evaluation / "evaluation.json" if evaluation.is_dir() else evaluation
    results = (*problems, *judge(file, package, rows, settings))
    report = GateReport(
        passed=any(result.passed for result in results) and not any(result.failed for result in results),
        results=results,
        table_digest="sha256:" + hashlib.sha256(text).hexdigest(),
        package_digest=_digest_or_empty(package),
    )
    atomic.write_text(out / "gates.json", report.model_dump_json(indent=1) + "\n")
    atomic.write_text(out / "gates.html", render_gates(report))
    return report


def read_table(text: bytes) -> tuple[dict[str, GateRow], tuple[GateResult, ...]]:
    """Return the rows of known gates, and a failed result for each way the table is not the table of all gates."""
    try:
        table = GateTable.model_validate(yaml.safe_load(text))
    except (ValidationError, yaml.YAMLError) as error:
        reason = f"the table of gates cannot be read: {type(error).__name__}"
        return {}, (GateResult(gate="table", passed=False, figure=None, bound=None, reason=reason),)
    rows = {row.name: row for row in table.gates}
    problems = [(name, "this gate is not in the table") for name in GATES if name not in rows]
    problems += [(name, f"no such gate; there are: {', '.join(GATES)}") for name in rows if name not in GATES]
    if len(rows) != len(table.gates):
        problems.append(("table", "a gate is in the table twice"))
    failed = tuple(GateResult(gate=name, passed=False, figure=None, bound=None, reason=why) for name, why in problems)
    return {name: row for name, row in rows.items() if name in GATES}, failed


def judge(
    evaluation: Path, package: Path, rows: dict[str, GateRow], settings: Settings | None = None
) -> tuple[GateResult, ...]:
    """Ask every gate in `rows`; each fails when the evaluation cannot be read."""
    try:
        found = Evaluation.model_validate_json(evaluation.read_text())
    except (OSError, ValueError) as error:
        reason = f"missing: the evaluation cannot be read ({type(error).__name__})"
        return tuple(
            GateResult(
                gate=row.name, passed=False, figure=None, bound=row.bound, reason=reason, why=row.why, owner=row.owner
            )
            for row in rows.values()
        )
    evidence = Evidence(evaluation=found, package=package, settings=settings or Settings())
    return tuple(ask(evidence, row) for row in rows.values())


def ask(evidence: Evidence, row: GateRow) -> GateResult:
    """Ask one gate, or answer that its row does not apply to the model."""
    if not applies(evidence.evaluation, row):
        return GateResult(
            gate=row.name,
            passed=False,
            applies=False,
            figure=None,
            bound=row.bound,
            reason=f"not applicable to a {evidence.evaluation.subject}: {row.elsewhere}",
            why=row.why,
            owner=row.owner,
        )
    verdict = GATES[row.name](evidence, row)
    return GateResult(
        gate=row.name,
        passed=bool(verdict.passed),
        figure=verdict.figure,
        bound=verdict.bound,
        reason=verdict.reason,
        why=row.why,
        owner=row.owner,
    )


def _digest_or_empty(package: Path) -> str:
    """The package's digest, or nothing where there is no package; the package gate says so."""
    try:
        return package_digest(package)
    except (ThoraxError, OSError):
        return ""
