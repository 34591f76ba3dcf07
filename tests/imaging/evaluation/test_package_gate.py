"""The gate on the package: whatever was changed, left out or slipped in after packaging fails it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from imaging.evaluation import check_gates_on_disk
from imaging.evaluation.gate import GateReport, GateResult
from tests.imaging.evaluation.conftest import Finished

TABLE = Path("pipelines/gates.yaml")


@pytest.fixture
def check(finished: Finished, tmp_path: Path) -> Callable[..., GateReport]:
    def run(package: Path = finished.package) -> GateReport:
        return check_gates_on_disk(package, finished.evaluation, TABLE, tmp_path / "gates")

    return run


def verdict(report: GateReport, gate: str) -> GateResult:
    (result,) = (one for one in report.results if one.gate == gate)
    return result


def test_a_package_as_it_was_written_passes_its_gate(check):
    result = verdict(check(), "package")
    assert result.passed, result.reason


def spoil_byte(package: Path) -> None:
    path = package / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def reseal(package: Path) -> None:
    from imaging.models.manifest import write_manifest

    write_manifest(package)


def rewrite_card(package: Path, old: str, new: str) -> None:
    path = package / "model_card.md"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    reseal(package)


def add(package: Path, name: str, data: bytes) -> None:
    (package / name).write_bytes(data)
    reseal(package)


def hide_temperature(package: Path) -> None:
    path = package / "model.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "temperature": 9.0}))
    reseal(package)


def swap_evaluation(package: Path) -> None:
    path = package / "evaluation.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "seed": 77}))
    reseal(package)


SPOILT_PACKAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "a changed byte": (spoil_byte, "model.safetensors has changed"),
    "a missing file": (lambda package: (package / "reference_image.png").unlink(), "reference_image.png is missing"),
    "a missing manifest": (lambda package: (package / "manifest.json").unlink(), "manifest.json is missing"),
    "an unlisted file": (lambda package: (package / "note.txt").write_text("x") and None, "note.txt is not in"),
    "a pickle": (lambda package: add(package, "extra.pkl", b"x"), "extra.pkl can run code"),
    "a pickle in disguise": (lambda package: add(package, "extra.json", b"\x80\x04K\x01."), "extra.json can run code"),
    "an archive in disguise": (lambda package: add(package, "extra.dat", b"PK\x03\x04"), "extra.dat can run code"),
    "a card without limits": (lambda package: rewrite_card(package, "## Limits", "## Praise"), "no section 'Limits'"),
    "an empty section": (
        lambda package: rewrite_card(package, "## Limits\n", "## Limits\n\n## More\n"),
        "nothing under",
    ),
    "a placeholder": (lambda package: rewrite_card(package, "## Data\n", "## Data\nTODO\n"), "placeholder: TODO"),
    "another temperature": (hide_temperature, "other weights or settings"),
    "another evaluation": (swap_evaluation, "another evaluation"),
}


@pytest.mark.parametrize("name", SPOILT_PACKAGES)
def test_the_package_gate_fails_on(name, package, check):
    spoil, said = SPOILT_PACKAGES[name]
    spoil(package)
    result = verdict(check(package=package), "package")
    assert not result.passed
    assert said in result.reason


def test_a_package_that_is_not_there_fails(check, tmp_path):
    report = check(package=tmp_path / "none")
    assert not verdict(report, "package").passed
    assert not report.passed
