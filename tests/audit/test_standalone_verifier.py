"""The verifier that an inspector gets: short, without Thorax, and of the same mind as ours."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from audit import AuditLog
from audit.export import verify_export
from audit.keys import load_public_key

SOURCE = Path(__file__).parents[2] / "audit" / "standalone_verifier.py"


@pytest.fixture(params=["record.jsonl", "record.html"])
def export(request: pytest.FixtureRequest, full_log: AuditLog, tmp_path: Path) -> Path:
    full_log.append("config.changed", actor="é", subject="</script><b>", details={"x": 1e-7, "text": "a\u2028b\x85"})
    return full_log.export(tmp_path / "out" / request.param)


def verdict(export: Path, key: str, tmp_path: Path) -> tuple[int, str]:
    """Run a copy of it, alone in a folder, without this project on the path."""
    place = tmp_path / "inspector"
    place.mkdir(exist_ok=True)
    shutil.copy(SOURCE, place / "verify.py")
    command = [sys.executable, "-I", "verify.py", str(export), key]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stderr.strip()


@pytest.fixture
def key(full_log: AuditLog) -> str:
    return load_public_key(full_log.witness.public_key_path).hex()


def test_it_has_sixty_lines_and_needs_nothing_but_a_check_of_signatures() -> None:
    text = SOURCE.read_text()
    assert len(text.splitlines()) <= 60
    imported = {line.split()[1].split(".")[0] for line in text.splitlines() if line.startswith(("import ", "from "))}
    assert imported == {"hashlib", "json", "sys", "pathlib", "cryptography"}


def test_an_export_as_it_was_written_holds(export: Path, key: str, tmp_path: Path) -> None:
    assert verdict(export, key, tmp_path) == (0, "")


def test_another_key_is_told(export: Path, tmp_path: Path) -> None:
    status, told = verdict(export, "ab" * 32, tmp_path)
    assert (status, told) == (1, "the export is signed with another key")


@pytest.mark.parametrize("change", ["edited", "cut", "end cut", "swapped", "doubled"])
def test_what_ours_finds_it_finds(full_log: AuditLog, key: str, tmp_path: Path, change: str) -> None:
    export = full_log.export(tmp_path / "record.jsonl")
    lines = export.read_text().splitlines()
    lines = {
        "edited": [line.replace("run/3", "run/4") for line in lines],
        "cut": lines[:3] + lines[4:],
        "end cut": lines[:-1],
        "swapped": [*lines[:2], lines[3], lines[2], *lines[4:]],
        "doubled": [*lines[:3], lines[2], *lines[3:]],
    }[change]
    export.write_text("\n".join(lines) + "\n")
    ours = verify_export(export).result
    status, told = verdict(export, key, tmp_path)
    assert not ours.ok
    assert status == 1
    assert str(ours.first_bad) in told or "end" in told
