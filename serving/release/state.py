"""What the release controller knows for certain: `home/release/state.json`, and the lock around it."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from imaging.atomic import write_text
from imaging.config import Frozen
from imaging.errors import ServiceError
from imaging.locks import locked
from serving.release.plan import RolloutPlan

LOCK_WITHIN_S = 300.0


class Served(Frozen):
    """One released version."""

    version: str
    digest: str
    archive: str
    """File name in TorchServe's model store."""


class Pending(Frozen):
    """A release under way; `release` marks its audit events, so that a killed one does not write them twice."""

    release: str
    version: str
    candidate: Served | None = None
    """Set once it is loaded and its smoke test is passed."""
    plan: RolloutPlan | None = None
    """What it began with; None where it takes no steps."""
    step: int = 0
    """Of the plan, which it is at."""
    since: float = 0.0
    """When that step began, in seconds of the epoch."""
    losses: int = 0
    """How often it was found without a worker during the rollout."""
    told: int = -1
    """The last step that is in the registry and in the record."""
    is_way_back: bool = False
    """Whether a person sends traffic back to the version that served before."""


class ReleaseState(Frozen):
    """`serving` is what TorchServe loads when it starts."""

    serving: Served | None = None
    previous: Served | None = None
    """It stays loaded, so that the way back takes no time."""
    may_return: bool = True
    """Whether `previous` may serve again without a rollout: not where somebody went back from it."""
    pending: Pending | None = None
    unready_since: float | None = None
    """Since when `serving` is registered without a READY worker, in seconds of the epoch."""


def load_state(folder: Path) -> ReleaseState:
    """Return the state; a fresh one where none was written.

    Raises:
        ServiceError: the file is not ours; it is left for a person to look at.
    """
    path = folder / "state.json"
    try:
        return ReleaseState.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return ReleaseState()
    except ValidationError as error:
        raise ServiceError(f"{path} is not a release state; move it away to start afresh") from error


def save_state(folder: Path, state: ReleaseState) -> None:
    """Replace the state atomically."""
    write_text(folder / "state.json", state.model_dump_json(indent=2) + "\n")


@contextlib.contextmanager
def release_lock(folder: Path, *, within_s: float = LOCK_WITHIN_S) -> Iterator[None]:
    """Let one process reconcile at a time; the kernel lets go of the lock of a killed one.

    Raises:
        ServiceError: another release takes longer than `within_s`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    busy = f"another release holds the lock for more than {within_s:.0f} s"
    with locked(folder / "lock", within_s=within_s, busy=busy):
        yield
