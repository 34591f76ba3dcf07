"""What people are told of an event."""

import pytest

from audit import AuditLog
from serving.notification.channels import _plain
from serving.notification.messages import TOLD, message_of


@pytest.mark.parametrize(
    ("action", "subject", "details", "topic", "said"),
    [
        ("approval.refused", "chest-xray/3", {"reason": "an author does not approve"}, "refused", "does not approve"),
        ("access.denied", "chest-xray/3", {"reason": "only an approver"}, "refused", "only an approver"),
        ("retrain.refused", "chest-xray/3", {"reason": "cool-down"}, "refused", "cool-down"),
        ("release.completed", "chest-xray/3", {"approved_by": "approver", "meaning": "better"}, "released", "better"),
        (
            "release.completed",
            "chest-xray/2",
            {"approved_by": "approver", "way_back": True, "previous": "3", "meaning": "scores jumped"},
            "released",
            "in the place of version 3: scores jumped",
        ),
        ("drift.detected", "chest-xray/3", {"figures": {"std": {}, "mean": {}}}, "drift", "mean, std"),
        ("config.changed", "release", {"did": "paused", "reason": "a night"}, "paused", "a night"),
    ],
)
def test_an_event_that_concerns_somebody_is_told_with_its_reason(tmp_path, action, subject, details, topic, said):
    event = AuditLog(tmp_path / "audit").append(action, actor="somebody", subject=subject, details=details)
    message = message_of(event)
    assert message.topic == topic
    assert said in message.text
    assert "\n" not in message.subject
    assert message.subject.startswith("chest-xray")


@pytest.mark.parametrize(
    ("action", "details"),
    [
        ("gate.evaluated", {}),
        ("prediction.logged", {"rows": 3}),
        ("config.changed", {"did": "added"}),
        ("run.started", {}),
    ],
)
def test_what_concerns_nobody_at_once_is_told_to_nobody(tmp_path, action, details):
    event = AuditLog(tmp_path / "audit").append(action, actor="somebody", subject="x", details=details)
    assert message_of(event) is None


def test_an_event_without_its_usual_details_is_told_all_the_same(tmp_path):
    log = AuditLog(tmp_path / "audit")
    for action in TOLD:
        event = log.append(action, actor="somebody", subject="chest-xray/3", details={"did": "paused"})
        assert message_of(event).text


def test_words_of_others_are_no_markup_of_slack():
    assert _plain("<!channel> & <http://x|y>") == "&lt;!channel&gt; &amp; &lt;http://x|y&gt;"
