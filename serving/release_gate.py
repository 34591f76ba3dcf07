"""Which loaded versions may answer: `released.json` in the release folder; the controller writes it, workers read it.

TorchServe makes the first version it loads the default, and answers for any loaded version by its number. So being
loaded is no permission: a worker answers once its version is named here, and before that only the release's own smoke
test, and in shadow the copies that the edge sends. Closed where the file is absent or no JSON. A pod on a cluster finds
the same file mounted in the same place.
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from pydantic import ValidationError

from imaging.atomic import write_text
from imaging.config import Frozen
from serving.answer import Stage

RELEASED = "released.json"
SMOKE_TEST_HEADER = "X-Thorax-Smoke-Test"
SHADOW_HEADER = "X-Thorax-Shadow"


class Version(Frozen):
    """A registered version; its digest too, for a number alone can be another package in another registry."""

    version: str
    digest: str


class Admitted(Version):
    """A version that answers clients, and where its rollout stands."""

    stage: Stage = "champion"


class Tested(Version):
    """A version that answers who presents a token, and nobody else; the token is known by its SHA-256."""

    token_sha256: str


class Released(Frozen):
    """The content of the file."""

    released: tuple[Admitted, ...] = ()
    smoke_test: Tested | None = None
    shadow: Tested | None = None

    def stage_of(self, version: str, digest: str) -> Stage:
        """Return where a loaded version stands; one that no client may ask is a shadow."""
        found = (one.stage for one in self.released if (one.version, one.digest) == (version, digest))
        return next(found, "shadow")


@dataclass(frozen=True, slots=True)
class ReleaseGate:
    """The file, from both sides. Only the holder of the release lock writes."""

    path: Path
    nobody: ClassVar[Released] = Released()

    @classmethod
    def of(cls, folder: Path) -> "ReleaseGate":
        """Take the gate of a release folder."""
        return cls(folder / RELEASED)

    def read(self) -> Released:
        """Return what may answer now; nothing where the file cannot be read."""
        try:
            return Released.model_validate_json(self.path.read_bytes())
        except (OSError, ValidationError):
            return self.nobody

    def admit(self, version: str, digest: str, *, stage: Stage = "champion") -> None:
        """Let a version answer, besides those that may already; any smoke test is over, and its own shadow."""
        known, new = self.read(), Admitted(version=version, digest=digest, stage=stage)
        others = (one for one in known.released if (one.version, one.digest) != (version, digest))
        shadow = known.shadow
        if shadow and (shadow.version, shadow.digest) == (version, digest):
            shadow = None
        self._write(Released(released=(*others, new), shadow=shadow))

    def admit_only(self, version: str, digest: str) -> None:
        """Let one version answer; call it when no other is asked any more, else a request on its way is refused."""
        self._write(Released(released=(Admitted(version=version, digest=digest),)))

    def shadow(self, version: str, digest: str, token: str) -> None:
        """Let a version answer the edge's copies, which present `token`, besides what may answer already."""
        shadow = Tested(version=version, digest=digest, token_sha256=_hash(token))
        others = tuple(one for one in self.read().released if (one.version, one.digest) != (version, digest))
        self._write(Released(released=others, shadow=shadow))

    def close(self) -> None:
        """Let nothing answer."""
        self._write(self.nobody)

    def expect_smoke_test(self, version: str, digest: str) -> str:
        """Return a new token that lets the smoke test of a version through; it is kept nowhere but as its hash."""
        token = secrets.token_urlsafe(32)
        test = Tested(version=version, digest=digest, token_sha256=_hash(token))
        self._write(self.read().model_copy(update={"smoke_test": test}))
        return token

    def _write(self, released: Released) -> None:
        """Replace the file atomically, if it says something else."""
        if not self.path.exists() or self.read() != released:
            write_text(self.path, released.model_dump_json(indent=2) + "\n")


def may_answer(released: Released, version: str, digest: str, *, token: str = "", shadow_token: str = "") -> bool:
    """Tell whether a worker of this version may answer a request that presents these tokens."""
    if any((one.version, one.digest) == (version, digest) for one in released.released):
        return True
    return any(
        bool(shown)
        and test is not None
        and (test.version, test.digest) == (version, digest)
        and hmac.compare_digest(_hash(shown), test.token_sha256)
        for test, shown in ((released.smoke_test, token), (released.shadow, shadow_token))
    )


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()
