"""Which version answers which share of the requests, on one machine: links that the edge follows at each request.

`current` leads to a plan with a link for each of 100 equal shares and one for the shadow, each to `versions/<version>`,
or to `versions/default` and `versions/none`. nginx resolves them as it answers: nothing is started again, one rename
changes everything at once, and a kill leaves the old plan or the new one. See `thorax/stack/nginx.conf.in`.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from imaging.atomic import new_directory, sync_directory

SHARES = 100
DEFAULT = "default"
"""The version that TorchServe answers with where none is named: the one that serves."""
NONE = "none"
SHADOW = "shadow"


@dataclass(frozen=True, kw_only=True, slots=True)
class Route:
    """Where requests go: all of them to the version that serves, but for what is said here."""

    canary: str = ""
    share: float = 0.0
    """Of the requests that `canary` answers, in steps of 0.01."""
    shadow: str = ""
    """The version that is asked too, on copies, and whose answers reach nobody."""

    @property
    def name(self) -> str:
        """A folder's name for it."""
        return f"{self.canary or NONE}-{round(SHARES * self.share)}-{self.shadow or NONE}"


class Target(Protocol):
    """What moves traffic: links on one machine, weights of Services on a cluster."""

    def send(self, route: Route) -> None:
        """Let requests go by `route` from now on; nothing changes where they do already."""
        ...


@dataclass(frozen=True, slots=True)
class Traffic:
    """The links of one home's edge."""

    folder: Path

    @classmethod
    def of(cls, home: Path) -> "Traffic":
        """Take the links of a home folder."""
        return cls(home / "edge" / "traffic")

    def send(self, route: Route) -> None:
        """Let requests go by `route` from now on; nothing changes where they do already."""
        current = self.folder / "current"
        left = current.readlink().name if current.is_symlink() else ""
        if left == route.name and current.is_dir():
            return
        self._make(route)
        link = self.folder / "next"
        link.unlink(missing_ok=True)
        link.symlink_to(Path("plans") / route.name)
        link.replace(current)
        sync_directory(self.folder)
        for old in (self.folder / "plans").iterdir():
            # A request that found the plan just left may still be following it.
            if old.name not in {route.name, left} and not old.name.startswith("."):
                shutil.rmtree(old, ignore_errors=True)

    def is_set(self) -> bool:
        """Whether there is a plan to follow."""
        return (self.folder / "current").is_dir()

    def version_of(self, share: int) -> str:
        """Return the version that answers one of the 100 shares; "" for the one that serves."""
        return self._follow(str(share))

    def shadow(self) -> str:
        """Return the version that is asked too; "" for none."""
        return self._follow(SHADOW)

    def _follow(self, name: str) -> str:
        version = (self.folder / "current" / name).resolve()
        return version.name if version.parent.name == "versions" and version.name not in (DEFAULT, NONE) else ""

    def _make(self, route: Route) -> None:
        for name in (DEFAULT, NONE, *(one for one in (route.canary, route.shadow) if one)):
            (self.folder / "versions" / name).mkdir(parents=True, exist_ok=True)
        (self.folder / "plans").mkdir(exist_ok=True)
        plan = self.folder / "plans" / route.name
        if plan.is_dir():  # it came into its place whole, and somebody may be following it
            return
        with new_directory(plan) as folder:
            for share in range(SHARES):
                version = route.canary if share < round(SHARES * route.share) else DEFAULT
                (folder / str(share)).symlink_to(Path("../../versions") / (version or DEFAULT))
            (folder / SHADOW).symlink_to(Path("../../versions") / (route.shadow or NONE))
