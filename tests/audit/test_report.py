"""The inspector's page, made from the record alone."""

import itertools
import re
from datetime import UTC, datetime, timedelta

import pytest

import audit.log
from audit import AuditLog
from audit.report import report, write_report
from audit.timeline import draw_timeline
from tests.audit.conftest import Tamperer

BEGIN = datetime(2026, 11, 1, tzinfo=UTC)


class Clock:
    """What the record takes the time from."""

    def __init__(self) -> None:
        self.now = BEGIN

    def text(self, moment: datetime | None = None) -> str:
        return (moment or self.now).astimezone(UTC).isoformat(timespec="microseconds")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(audit.log, "utc_text", clock.text)
    return clock


@pytest.fixture
def told(log: AuditLog, clock: Clock) -> AuditLog:
    """Two versions over three weeks: approved, rolled back, approved again, sent back."""

    def tell(day: float, action: str, actor: str, subject: str, **details: object) -> None:
        clock.now = BEGIN + timedelta(days=day)
        log.append(action, actor=actor, subject=subject, details=details)

    gate = {"gate": "calibration", "passed": True, "figure": 0.021, "bound": 0.05}
    tell(0.0, "gate.evaluated", "trainer", "sha256:1", **gate)
    tell(0.1, "model.registered", "trainer", "chest-xray/1", digest="sha256:1")
    tell(1.0, "model.approved", "approver", "chest-xray/1", author="trainer", meaning="for clinical evaluation")
    tell(1.1, "release.completed", "controller", "chest-xray/1", digest="sha256:1", approved_by="approver")
    tell(7.0, "gate.evaluated", "trainer", "sha256:2", **gate)
    tell(7.1, "model.registered", "trainer", "chest-xray/2", digest="sha256:2")
    tell(7.5, "access.denied", "trainer", "chest-xray/2", reason="only an approver moves the alias champion")
    tell(8.0, "model.approved", "approver", "chest-xray/2", author="trainer", meaning="<b>better</b>")
    tell(8.2, "release.rolled_back", "controller", "chest-xray/2", reason="in shadow: scores differ by 0.30")
    tell(9.0, "model.approved", "approver", "chest-xray/2", author="trainer", meaning="bounds were too narrow")
    tell(9.1, "release.completed", "controller", "chest-xray/2", digest="sha256:2", approved_by="approver")
    tell(9.2, "prediction.logged", "monitor", "predictions/a", rows=120)
    tell(20.0, "model.approved", "approver", "chest-xray/1", author="trainer", meaning="scores jumped")
    tell(
        20.1,
        "release.completed",
        "controller",
        "chest-xray/1",
        digest="sha256:1",
        approved_by="approver",
        way_back=True,
    )
    tell(20.2, "drift.detected", "monitor", "chest-xray/1", reason="a new device")
    return log


def days(first: float, last: float) -> dict[str, datetime]:
    return {"begin": BEGIN + timedelta(days=first), "end": BEGIN + timedelta(days=last)}


def test_it_tells_what_served_when_and_by_whose_approval(told):
    found = report(told.events(), **days(0, 30))
    served = [(one.version, (one.begin - BEGIN).days, one.end and (one.end - BEGIN).days) for one in found.services]
    assert served == [("1", 1, 9), ("2", 9, 20), ("1", 20, None)]
    assert [one.is_way_back for one in found.services] == [False, False, True]
    assert {one.approved_by for one in found.services} == {"approver"}


def test_what_began_before_the_time_and_still_served_in_it_is_told(told):
    found = report(told.events(), **days(3, 5))
    assert [one.version for one in found.services] == ["1"]
    assert found.approvals == ()
    assert report(told.events(), **days(0, 1)).services == ()


def test_an_approval_stands_with_its_evidence_and_its_outcome(told):
    first, second, third, back = report(told.events(), **days(0, 30)).approvals
    assert (first.actor, first.author, first.meaning) == ("approver", "trainer", "for clinical evaluation")
    assert first.gates == ({"gate": "calibration", "passed": True, "figure": 0.021, "bound": 0.05},)
    assert first.outcome.startswith("served from 2026-11-02")
    assert second.outcome == "a release was rolled back: in shadow: scores differ by 0.30"
    assert third.outcome.startswith("served from 2026-11-10")
    assert back.digest == "sha256:1"


def test_what_was_refused_is_told_with_who_and_why(told):
    refused = report(told.events(), **days(0, 30)).refusals
    assert [(event.action, event.actor) for event in refused] == [
        ("access.denied", "trainer"),
        ("release.rolled_back", "controller"),
    ]


def test_an_approval_without_gates_on_record_is_shown_as_such(log, clock, tmp_path):
    log.append("model.approved", actor="approver", subject="chest-xray/9", details={"author": "trainer"})
    clock.now += timedelta(days=1)
    write_report(tmp_path / "report.html", log, **days(0, 30))
    text = (tmp_path / "report.html").read_text()
    assert "The record holds no gates for this package." in text


def test_the_page_says_first_whether_the_record_holds(told, tmp_path):
    write_report(tmp_path / "good.html", told, **days(0, 30))
    assert "The record holds: 15 events" in (tmp_path / "good.html").read_text()
    Tamperer(told).run("UPDATE events SET actor = 'nobody' WHERE seq = 3")
    write_report(tmp_path / "bad.html", told, **days(0, 30))
    text = (tmp_path / "bad.html").read_text()
    assert "The record does not hold" in text
    assert "first bad record: 3" in text


def test_nobodys_words_become_markup(told, tmp_path):
    write_report(tmp_path / "report.html", told, **days(0, 30))
    text = (tmp_path / "report.html").read_text()
    assert "<b>better</b>" not in text
    assert "&lt;b&gt;better&lt;/b&gt;" in text


def test_the_picture_has_a_bar_for_each_time_and_a_dot_for_each_moment(told):
    picture = draw_timeline(report(told.events(), **days(0, 30)))
    bars = [
        tuple(map(float, found)) for found in re.findall(r'<rect x="([\d.]+)" y="[\d.]+" width="([\d.]+)"', picture)
    ]
    assert len(bars) == 3
    assert all(abs(left + width - right) < 0.2 for (left, width), (right, _) in itertools.pairwise(bars))
    assert picture.count("<circle") == 4 + 1 + 1


def test_a_clock_that_was_set_back_is_recorded_and_told(log, clock, tmp_path):
    clock.now = BEGIN + timedelta(days=2)
    log.append("run.started", actor="trainer", subject="run/1")
    clock.now = BEGIN + timedelta(days=1)
    event = log.append("run.started", actor="trainer", subject="run/2")
    assert event.details == {"clock_went_back_s": 86400.0}
    assert log.verify().ok
    write_report(tmp_path / "report.html", log, **days(0, 30))
    assert "the clock had gone back by 86400 s" in (tmp_path / "report.html").read_text()


def test_an_empty_record_gives_an_empty_page(log, tmp_path):
    found = write_report(tmp_path / "report.html", log, **days(0, 30))
    assert found.services == ()
    assert "Nobody approved a version" in (tmp_path / "report.html").read_text()
