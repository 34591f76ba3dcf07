"""Integrations that may ask the edge: each has a name and tokens, one more while it changes them, none once revoked.

A token is `<name>.<256 random bits>`, and known while a file of that name lies in the edge's folder of clients. nginx
looks for the file at each request, so that nothing has to be started again, and knows neither names nor lists.
"""

import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from audit import AuditLog, default_folder
from imaging.atomic import sync_directory
from imaging.errors import ConfigurationError, NotFoundError
from thorax.stack.places import Places

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
SECRET_BYTES = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class Client:
    """An integration as a person sees it: no token.

    Attributes:
        name: What the edge's log calls it.
        tokens: How many of its tokens are known; two while it changes them.
        newest: When the newest was made.
    """

    name: str
    tokens: int
    newest: datetime


@dataclass(frozen=True, slots=True)
class Clients:
    """The folder of tokens of one stack. Every change is in the audit record, without the token."""

    places: Places
    actor: str = "system"

    @property
    def folder(self) -> Path:
        """Where the tokens lie."""
        return self.places.clients

    def all(self) -> list[Client]:
        """Return every client that is known, by name."""
        names = sorted({path.name.partition(".")[0] for path in self._files()})
        return [self._describe(name) for name in names]

    def add(self, name: str) -> str:
        """Let a new client in; return its token, which nothing shows again.

        Raises:
            ConfigurationError: the name cannot be, or is taken.
        """
        if not NAME.fullmatch(name):
            raise ConfigurationError("a client's name is 1 to 32 of a-z, 0-9 and '-', and begins with no '-'")
        if self._files(name):
            raise ConfigurationError(f"there is a client {name}; `thorax clients rotate {name}` gives it a new token")
        return self._make(name, "added")

    def rotate(self, name: str) -> str:
        """Give a client one more token; the others are known until `retire`.

        Raises:
            NotFoundError: there is no such client.
        """
        self._must_know(name)
        return self._make(name, "rotated")

    def retire(self, name: str) -> int:
        """Forget all but a client's newest token; return how many.

        Raises:
            NotFoundError: there is no such client.
        """
        return self._forget(name, self._must_know(name)[:-1], "retired older tokens")

    def revoke(self, name: str) -> int:
        """Forget all tokens of a client: from now on it is refused; return how many.

        Raises:
            NotFoundError: there is no such client.
        """
        return self._forget(name, self._must_know(name), "revoked")

    def _make(self, name: str, did: str) -> str:
        token = f"{name}.{secrets.token_urlsafe(SECRET_BYTES)}"
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._record(name, did)
        (self.folder / token).touch(mode=0o600, exist_ok=False)
        sync_directory(self.folder)
        return token

    def _forget(self, name: str, files: list[Path], did: str) -> int:
        for path in files:
            path.unlink(missing_ok=True)
        if files:
            sync_directory(self.folder)
            self._record(name, did)
        return len(files)

    def _must_know(self, name: str) -> list[Path]:
        files = self._files(name)
        if not files:
            known = ", ".join(client.name for client in self.all()) or "none"
            raise NotFoundError(f"no client {name!r}; there are: {known}")
        return files

    def _files(self, name: str = "") -> list[Path]:
        """Return the files of a client, or of all, oldest first."""
        found = [path for path in self.folder.glob("*.*") if not name or path.name.partition(".")[0] == name]
        return sorted(found, key=lambda path: (path.stat().st_mtime_ns, path.name))

    def _describe(self, name: str) -> Client:
        files = self._files(name)
        made = datetime.fromtimestamp(files[-1].stat().st_mtime, UTC)
        return Client(name=name, tokens=len(files), newest=made)

    def _record(self, name: str, did: str) -> None:
        log = AuditLog(default_folder(self.places.home))
        log.append("config.changed", actor=self.actor, subject=f"client {name}", details={"did": did})
