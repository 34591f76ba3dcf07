"""Messages on their way: in order, once where all goes well, again where not, and never lost by a kill."""

import json
from collections.abc import Iterator

import pytest

from audit import AuditLog
from imaging.errors import ConfigurationError, ServiceError
from serving.notification.channels import FILE, load_channels
from serving.notification.outbox import MOST_TRIES, Outbox
from tests.serving.notification.receivers import MailReceiver, WebReceiver, mail_receiver, web_receiver


class Place:
    """A home with a record, a clock and one channel of each kind."""

    def __init__(self, home, web: WebReceiver, mail: MailReceiver) -> None:
        self.home, self.web, self.mail, self.now = home, web, mail, 1000.0
        home.mkdir(exist_ok=True)
        self.log = AuditLog(home / "audit")
        self.outbox = Outbox(
            home=home, log=self.log, page="http://registry/#/models/chest-xray", clock=lambda: self.now
        )

    def write(self, *channels: dict) -> None:
        path = self.home / FILE
        path.touch(mode=0o600)
        path.write_text(json.dumps(channels))

    def webhook(self, **more: object) -> dict:
        return {"kind": "webhook", "name": "pager", "url": self.web.url, **more}

    def email(self, **more: object) -> dict:
        post = {"host": "127.0.0.1", "port": self.mail.port, "security": "none", "sender": "thorax@hospital.example"}
        return {"kind": "email", "name": "letters", **post, "to": ["approver@hospital.example"], **more}

    def register(self, version: str) -> None:
        details = {"recipe": "resnet50_xray3", "trigger": "drift", "digest": "sha256:x"}
        self.log.append("model.registered", actor="trainer", subject=f"chest-xray/{version}", details=details)

    def standing(self):
        return self.outbox.standing(load_channels(self.home)[0])


@pytest.fixture
def place(tmp_path, monkeypatch) -> Iterator[Place]:
    monkeypatch.delenv("THORAX_AUDIT_WITNESS", raising=False)
    with web_receiver() as web, mail_receiver() as mail:
        yield Place(tmp_path / "home", web, mail)


def test_an_approval_that_waits_is_told_by_every_channel_with_the_way_to_its_page(place):
    slack = {"kind": "slack", "name": "chat", "url": place.web.url}
    place.write(place.webhook(), place.email(), slack)
    assert place.outbox.deliver() == 0
    place.register("7")
    assert place.outbox.deliver() == 3
    document, chat = place.web.taken
    assert document["subject"] == "chest-xray version 7 waits for an approval"
    assert document["topic"] == "waiting"
    assert "drift was found" in document["text"]
    assert "http://registry/#/models/chest-xray" in document["text"]
    assert chat["text"].startswith("*chest-xray version 7 waits")
    [letter] = place.mail.letters
    assert "Subject: chest-xray version 7 waits for an approval" in letter
    assert "To: approver@hospital.example" in letter


def test_a_message_is_told_once(place):
    place.write(place.webhook())
    place.outbox.deliver()
    place.register("7")
    assert [place.outbox.deliver() for _ in range(3)] == [1, 0, 0]
    assert len(place.web.taken) == 1


def test_a_new_channel_is_not_told_of_what_was_before(place):
    place.register("6")
    place.write(place.webhook())
    place.outbox.deliver()
    place.register("7")
    place.outbox.deliver()
    assert [message["version"] for message in place.web.taken] == ["7"]


def test_a_channel_is_told_of_its_topics_alone(place):
    place.write(place.webhook(about=["rolled_back"]))
    place.outbox.deliver()
    place.register("7")
    details = {"reason": "in shadow: scores differ by 0.30", "serving": "6"}
    place.log.append("release.rolled_back", actor="controller", subject="chest-xray/7", details=details)
    place.outbox.deliver()
    [message] = place.web.taken
    assert message["text"].startswith("in shadow: scores differ by 0.30. Version 6 serves.")


def test_what_nobody_takes_is_sent_again_later_and_later_in_order_and_with_the_same_key(place):
    place.write(place.webhook())
    place.outbox.deliver()
    place.web.status = 503
    place.register("7")
    place.register("8")
    assert place.outbox.deliver() == 0
    assert "HTTP 503" in place.standing().problem
    place.web.status = 200
    assert place.outbox.deliver() == 0
    place.now += 6
    assert place.outbox.deliver() == 2
    assert [message["version"] for message in place.web.taken] == ["7", "8"]
    assert place.standing().problem == ""
    assert all(headers["Idempotency-Key"] for headers in place.web.headers)


def test_what_nobody_ever_takes_is_given_up_and_counted_and_the_next_goes_out(place):
    place.write(place.webhook())
    place.outbox.deliver()
    place.web.status = 404
    place.register("7")
    for _ in range(MOST_TRIES):
        place.outbox.deliver()
        place.now += 4000
    assert place.standing().given_up == 1
    place.web.status = 200
    place.register("8")
    place.outbox.deliver()
    assert [message["version"] for message in place.web.taken] == ["8"]


def test_one_channel_that_is_away_keeps_no_other_waiting(place):
    place.write(place.webhook(), place.email())
    place.outbox.deliver()
    place.web.status = 500
    place.register("7")
    assert place.outbox.deliver() == 1
    assert len(place.mail.letters) == 1


def test_a_letter_that_a_recipient_does_not_get_is_a_problem(place):
    place.write(place.email(to=["approver@hospital.example", "gone@hospital.example"]))
    place.outbox.deliver()
    place.mail.unknown = {"gone@"}
    place.register("7")
    assert place.outbox.deliver() == 0
    assert "1 of 2 recipients" in place.standing().problem


def test_no_mail_server_is_a_problem_without_its_password(place):
    place.write(place.email(port=1, username="thorax", password="hidden"))
    place.outbox.deliver()
    place.register("7")
    place.outbox.deliver()
    assert "mail server" in place.standing().problem
    assert "hidden" not in (place.home / "notifications" / "letters.json").read_text()


def test_an_address_is_a_secret_that_no_error_tells(place):
    place.write(place.webhook(url="http://127.0.0.1:1/hook/secret"))
    place.outbox.deliver()
    place.register("7")
    place.outbox.deliver()
    assert "ConnectError" in place.standing().problem
    assert "secret" not in place.standing().problem


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[", "not JSON"),
        ('[{"kind": "pigeon", "name": "x"}]', "pigeon"),
        ('[{"kind": "webhook", "name": "X y", "url": "http://h"}]', "name"),
        ('[{"kind": "webhook", "name": "x", "url": "http://h", "about": ["weather"]}]', "about"),
        ('[{"kind": "webhook", "name": "x"}]', "url"),
        ('[{"kind": "webhook", "name": "x", "url": "u"}, {"kind": "slack", "name": "x", "url": "u"}]', "twice"),
    ],
)
def test_a_file_that_names_no_channels_is_refused_with_its_place(place, content, said):
    (place.home / FILE).touch(mode=0o600)
    (place.home / FILE).write_text(content)
    with pytest.raises(ConfigurationError, match=said):
        place.outbox.deliver()


def test_a_file_that_others_may_read_is_refused(place):
    place.write(place.webhook())
    (place.home / FILE).chmod(0o640)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        place.outbox.deliver()


def test_a_spoilt_standing_is_told(place):
    place.write(place.webhook())
    place.outbox.deliver()
    (place.home / "notifications" / "pager.json").write_text("{")
    with pytest.raises(ServiceError, match="begins anew"):
        place.outbox.deliver()


def test_a_kill_after_a_message_went_out_tells_it_again_and_loses_none(place, monkeypatch):
    place.write(place.webhook())
    place.outbox.deliver()
    place.register("7")
    place.register("8")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Outbox, "_save", killed)
        with pytest.raises(KeyboardInterrupt):
            place.outbox.deliver()
    assert place.outbox.deliver() == 2
    assert [message["version"] for message in place.web.taken] == ["7", "7", "8"]
    keys = [headers["Idempotency-Key"] for headers in place.web.headers]
    assert keys[0] == keys[1] != keys[2]
