"""The outbox: what was told to each channel, and what waits to be.

The audit record is the queue, so that an event is never told before it is recorded, nor lost by a kill; each channel
has a file with the last event that was dealt with. A message goes out at least once. One that nobody takes is tried
again, later and later, and given up after `MOST_TRIES`, which its channel's file counts; others of the channel wait.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from audit import AuditEvent, AuditLog
from imaging.atomic import write_text
from imaging.config import Frozen
from imaging.errors import ServiceError
from imaging.locks import locked_if_free
from serving.notification.channels import AnyChannel, load_channels
from serving.notification.messages import Message, message_of

FOLDER = "notifications"
FIRST_PAUSE_S = 5.0
LONGEST_PAUSE_S = 3600.0
MOST_TRIES = 24
"""Together nearly half a day."""
AT_ONCE = 20
"""Messages of a channel in one delivery, so that a long queue keeps nobody from stopping."""


class Standing(Frozen):
    """How far a channel has come."""

    seq: int
    """The last event that was dealt with."""
    sent: int = 0
    given_up: int = 0
    tries: int = 0
    """Of the message that waits."""
    next_try: float = 0.0
    """Seconds of the epoch."""
    problem: str = ""
    """Why the last try failed; empty where it did not."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outbox:
    """The channels of one home."""

    home: Path
    log: AuditLog
    page: str = ""
    """Address of the model's page in the registry."""
    clock: Callable[[], float] = time.time

    def deliver(self) -> int:
        """Send what waits and is due; return how many messages were taken.

        Raises:
            ConfigurationError: the channels' file is not sound.
        """
        channels = load_channels(self.home)
        if not channels:
            return 0
        with self._alone() as free:
            return sum(self._deliver_to(channel) for channel in channels) if free else 0

    def standing(self, channel: AnyChannel) -> Standing:
        """Return how far a channel has come; a new one begins with what is recorded from now on."""
        path = self._path(channel)
        try:
            return Standing.model_validate_json(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            last = self.log.events(limit=1)
            found = Standing(seq=last[-1].seq if last else 0)
            self._save(channel, found)
            return found
        except ValidationError as error:
            raise ServiceError(f"{path} is no standing of a channel; remove it, and the channel begins anew") from error

    def _deliver_to(self, channel: AnyChannel) -> int:
        standing, sent = self.standing(channel), 0
        for event, message in self._waiting(channel, standing):
            if message is None:
                standing = standing.model_copy(update={"seq": event.seq})
                continue
            if self.clock() < standing.next_try or sent == AT_ONCE:
                break
            try:
                channel.send(message)
            except ServiceError as error:
                standing = self._failed(standing, event, str(error))
                if standing.tries:
                    break
                continue
            sent += 1
            taken = {"seq": event.seq, "sent": standing.sent + 1, "tries": 0, "next_try": 0.0, "problem": ""}
            standing = standing.model_copy(update=taken)
            self._save(channel, standing)
        self._save(channel, standing)
        return sent

    def _failed(self, standing: Standing, event: AuditEvent, problem: str) -> Standing:
        tries = standing.tries + 1
        if tries >= MOST_TRIES:
            given_up = {"seq": event.seq, "given_up": standing.given_up + 1, "tries": 0, "next_try": 0.0}
            return standing.model_copy(update={**given_up, "problem": problem})
        pause = min(FIRST_PAUSE_S * 2.0 ** (tries - 1), LONGEST_PAUSE_S)
        return standing.model_copy(update={"tries": tries, "next_try": self.clock() + pause, "problem": problem})

    def _waiting(self, channel: AnyChannel, standing: Standing) -> Iterator[tuple[AuditEvent, Message | None]]:
        for event in self.log.events(after=standing.seq):
            message = message_of(event, page=self.page)
            yield event, message if message and message.topic in channel.about else None

    def _path(self, channel: AnyChannel) -> Path:
        return self.home / FOLDER / f"{channel.name}.json"

    def _save(self, channel: AnyChannel, standing: Standing) -> None:
        path = self._path(channel)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        text = standing.model_dump_json(indent=2) + "\n"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            write_text(path, text)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[bool]:
        """Let one process deliver at a time; another one has nothing to do meanwhile."""
        folder = self.home / FOLDER
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with locked_if_free(folder / "lock") as free:
            yield free
