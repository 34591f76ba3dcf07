import json
from pathlib import Path

import pytest

from audit import AuditLog
from imaging.errors import ConfigurationError
from serving.release.hold import UNREADABLE, hold, hold_of, lift
from tests.serving.factories import dicom


def test_a_hold_stands_until_it_is_lifted_and_both_are_on_the_record(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "audit")
    assert hold_of(tmp_path) is None
    assert hold(tmp_path, log, by="dr", reason=" a nodule was missed ") == hold_of(tmp_path)
    assert lift(tmp_path, log, by="approver", reason="it was another patient's image")
    assert hold_of(tmp_path) is None
    assert not lift(tmp_path, log, by="approver", reason="again")
    assert [(event.actor, event.details["did"]) for event in log.events()] == [("dr", "held"), ("approver", "lifted")]


@pytest.mark.parametrize("order", [hold, lift])
def test_without_a_reason_nothing_happens(tmp_path: Path, order) -> None:
    with pytest.raises(ConfigurationError, match="reason"):
        order(tmp_path, AuditLog(tmp_path / "audit"), by="dr", reason=" ")
    assert hold_of(tmp_path) is None


def test_a_hold_that_cannot_be_read_holds(tmp_path: Path) -> None:
    (tmp_path / "hold.json").write_text("{")
    assert hold_of(tmp_path) == UNREADABLE


def test_a_held_model_refers_every_answer_and_says_why(handler, home: Path) -> None:
    served, context = handler
    folder = home / "release"

    def ask() -> dict:
        context.headers = [{}]
        return json.loads(served.handle([{"body": dicom()}], context)[0])["triage"]

    before = ask()
    log = AuditLog(home / "audit")
    hold(folder, log, by="dr", reason="harm")
    assert ask() == {"decision": "refer", "reasons": [*before["reasons"], "on_hold"]}
    lift(folder, log, by="approver", reason="explained")
    assert ask() == before
