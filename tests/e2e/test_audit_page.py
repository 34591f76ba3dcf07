"""The exported audit record opened in a browser, where its page checks itself. `infra/chromium.sh` installs one."""

import shutil
import subprocess
from pathlib import Path

import pytest

from audit import AuditLog
from tests.audit.conftest import fill

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.beside,
    pytest.mark.skipif(not shutil.which("chromium"), reason="no chromium to open the page in"),
]


def test_the_page_checks_itself_in_a_browser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("THORAX_AUDIT_WITNESS", raising=False)
    log = AuditLog(tmp_path / "audit")
    fill(log, 6)
    log.rotate_key(actor="administrator")
    fill(log, 2)
    good = log.export(tmp_path / "good.html")
    bad = tmp_path / "bad.html"
    bad.write_text(good.read_text().replace("run/3", "run/4"))
    late = tmp_path / "late.html"
    late.write_text(good.read_text().replace("run/1", "run/2"))
    shown = rendered(good, tmp_path)
    assert 'class="holds"' in shown
    assert "9 records, hashes and links" in shown
    assert "record 4 does not hold" in rendered(bad, tmp_path)
    assert "does not hold" in rendered(late, tmp_path)


def rendered(page: Path, profile: Path) -> str:
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile / 'profile'}"]
    command = ["chromium", *options, "--virtual-time-budget=5000", "--dump-dom", page.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
