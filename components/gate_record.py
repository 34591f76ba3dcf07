"""The gates' answers, on record before they stop a run."""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from audit import record
from imaging.errors import GateFailureError

if TYPE_CHECKING:
    from imaging.evaluation.gate import GateReport


def installed_table() -> Path:
    """Return the platform's gate table, found without loading `pipelines`, which a step cannot."""
    places = getattr(find_spec("pipelines"), "submodule_search_locations", None) or []
    return Path(next(iter(places))) / "gates.yaml"


def answer_gates(package: Path, evaluation: Path, out: Path) -> "GateReport":
    """Check every gate of the installed table, write the report to `out`, append an audit event for each.

    Raises:
        GateFailureError: if any gate failed.
    """
    from imaging.evaluation import check_gates_on_disk
    from imaging.models.directory import package_digest
    from imaging.settings import Settings

    report = check_gates_on_disk(package, evaluation, installed_table(), out, settings=Settings())
    subject = package_digest(package)
    for result in report.results:
        answer = {"gate": result.gate, "passed": result.passed, "figure": result.figure, "bound": result.bound}
        answer |= {} if result.applies else {"applies": False, "reason": result.reason}
        record("gate.evaluated", subject=subject, details={**answer, "table": report.table_digest})
    failed = [result for result in report.results if result.failed]
    if failed or not report.passed:
        reasons = "; ".join(result.told for result in failed)
        raise GateFailureError(f"{len(failed)} of {len(report.results)} gates failed, nothing is registered: {reasons}")
    return report
