"""Where messages go: `notifications.json` in the home names the channels, and each sends one message within a limit."""

import base64
import json
import smtplib
import ssl
import stat
from email.message import EmailMessage
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import httpx
from pydantic import Field, SecretStr, TypeAdapter, ValidationError

from imaging.config import Frozen
from imaging.errors import ConfigurationError, ServiceError
from serving.notification.messages import Message, Topic

FILE = "notifications.json"
TIMEOUT_S = 10.0
TOPICS: tuple[Topic, ...] = get_args(Topic)


class _Channel(Frozen):
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")
    about: tuple[Topic, ...] = TOPICS
    """What it is told of."""


class Webhook(_Channel):
    """Posts the message as JSON; the header `Idempotency-Key` is the same when it is sent again."""

    kind: Literal["webhook"]
    url: SecretStr
    token: SecretStr = SecretStr("")
    """Sent as a bearer token where it is set."""

    def send(self, message: Message) -> None:
        """Raises ServiceError where nobody took it."""
        token = self.token.get_secret_value()
        headers = {"Idempotency-Key": message.key} | ({"Authorization": f"Bearer {token}"} if token else {})
        _post(self.url.get_secret_value(), message.document(), headers)


class Slack(_Channel):
    """Posts to an incoming webhook of Slack, or of what understands the same (Mattermost, Teams by a connector)."""

    kind: Literal["slack"]
    url: SecretStr

    def send(self, message: Message) -> None:
        """Raises ServiceError where nobody took it."""
        text = f"*{_plain(message.subject)}*\n{_plain(message.text)}"
        _post(self.url.get_secret_value(), {"text": text}, {"Idempotency-Key": message.key})


class Jira(_Channel):
    """Creates an issue by Jira's REST API, version 2, or by what understands the same."""

    kind: Literal["jira"]
    url: SecretStr
    """Of the site, as https://example.atlassian.net."""
    project: str = Field(pattern=r"^[A-Z][A-Z0-9_]{1,31}$")
    issue_type: str = "Task"
    username: str = ""
    """With it the token is a password; without, a bearer token."""
    token: SecretStr
    about: tuple[Topic, ...] = ("adverse",)

    def send(self, message: Message) -> None:
        """Raises ServiceError where nobody took it. One that was sent twice has the same label."""
        fields = {
            "project": {"key": self.project},
            "issuetype": {"name": self.issue_type},
            "summary": " ".join(message.subject.split())[:255],
            "description": message.text,
            "labels": ["thorax", f"thorax-{message.key}"],
        }
        token = self.token.get_secret_value()
        basic = base64.b64encode(f"{self.username}:{token}".encode()).decode()
        header = f"Basic {basic}" if self.username else f"Bearer {token}"
        address = f"{self.url.get_secret_value().rstrip('/')}/rest/api/2/issue"
        _post(address, {"fields": fields}, {"Authorization": header, "Idempotency-Key": message.key})


class Email(_Channel):
    """Sends by SMTP, encrypted unless it says otherwise."""

    kind: Literal["email"]
    host: str
    port: int = Field(default=587, gt=0, lt=65536)
    security: Literal["starttls", "tls", "none"] = "starttls"
    username: str = ""
    password: SecretStr = SecretStr("")
    sender: str
    to: tuple[str, ...] = Field(min_length=1)

    def send(self, message: Message) -> None:
        """Raises ServiceError where the server did not take it for everybody."""
        letter = EmailMessage()
        letter["Subject"] = " ".join(message.subject.split())
        letter["From"], letter["To"] = self.sender, ", ".join(self.to)
        letter["Message-ID"] = f"<{message.key}@thorax>"
        letter.set_content(message.text)
        try:
            with self._connect() as server:
                if self.username:
                    server.login(self.username, self.password.get_secret_value())
                refused = server.send_message(letter)
        except (OSError, smtplib.SMTPException) as error:
            raise ServiceError(f"the mail server did not take the message ({type(error).__name__})") from error
        if refused:
            raise ServiceError(f"the mail server refused {len(refused)} of {len(self.to)} recipients")

    def _connect(self) -> smtplib.SMTP:
        if self.security == "tls":
            return smtplib.SMTP_SSL(self.host, self.port, timeout=TIMEOUT_S, context=ssl.create_default_context())
        server = smtplib.SMTP(self.host, self.port, timeout=TIMEOUT_S)
        if self.security == "starttls":
            server.starttls(context=ssl.create_default_context())
        return server


AnyChannel = Webhook | Slack | Jira | Email
Channel = Annotated[AnyChannel, Field(discriminator="kind")]
CHANNELS: TypeAdapter[tuple[Channel, ...]] = TypeAdapter(tuple[Channel, ...])


def load_channels(home: Path) -> tuple[AnyChannel, ...]:
    """Return the channels of a home; none where there is no file.

    Raises:
        ConfigurationError: others may read the file, or it names no channels.
    """
    path = home / FILE
    try:
        mode = path.stat().st_mode
        content = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read ({type(error).__name__})") from error
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigurationError(f"{path} holds secrets and others may read it: chmod 600 {path}")
    try:
        channels = CHANNELS.validate_python(json.loads(content))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ConfigurationError(f"{path}: {place}: {first['msg']}") from error
    except ValueError as error:
        raise ConfigurationError(f"{path} is not JSON") from error
    names = [channel.name for channel in channels]
    if len(set(names)) != len(names):
        raise ConfigurationError(f"{path} names a channel twice")
    return channels


def _post(url: str, document: dict[str, Any], headers: dict[str, str]) -> None:
    """Post JSON; the address is a secret and never told."""
    try:
        answer = httpx.post(url, json=document, headers=headers, timeout=TIMEOUT_S, follow_redirects=False)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ServiceError(f"the address does not answer ({type(error).__name__})") from error
    if not answer.is_success:
        raise ServiceError(f"the address answered HTTP {answer.status_code}")


def _plain(text: str) -> str:
    """Take Slack's markup from words that may be anybody's."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
