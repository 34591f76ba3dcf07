"""`thorax models approve --wait` follows the audit record; the rest needs a registry and is run in tests/e2e."""

import pytest

from audit import AuditLog
from imaging.errors import ServiceError
from thorax.commands.models import _outcomes, _wait_for_outcome

SUBJECT = "chest-xray/7"


def test_an_earlier_refusal_is_not_taken_for_this_one(home):
    log = AuditLog(home / "audit")
    log.append("approval.refused", actor="controller", subject=SUBJECT, details={"reason": "old"})
    log.append("release.completed", actor="controller", subject="chest-xray/8", details={})
    known = len(_outcomes(home, SUBJECT))
    with pytest.raises(ServiceError, match="controller"):
        _wait_for_outcome(home, SUBJECT, known, 0.1)
    log.append("release.completed", actor="controller", subject=SUBJECT, details={})
    assert _wait_for_outcome(home, SUBJECT, known, 5).action == "release.completed"
