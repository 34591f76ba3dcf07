"""Who may change what in the registry, as plain functions of who asks for what: no server, no request.

The two guarded things are the aliases, because an alias decides what is served, and the tags that a release is judged
by. Reading is MLflow's own business, and so is everything that is not named here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

CHAMPION = "champion"
CONTROLLER = "controller"
ADMIN = "admin"
CONTROLLER_ALIASES = frozenset({"previous", "shadow", "canary"})
GUARDED_ALIASES = CONTROLLER_ALIASES | {CHAMPION}
CONTROLLER_TAGS = ("deployment.", "approved_")
APPROVAL_TAGS = "approval."
MEANING_TAG = "approval.meaning"
AUTHOR_TAG = "author"
LASTING_TAGS = ("gates", "package.", "dataset.", "image.", "recipe", "trigger", AUTHOR_TAG)
"""Set once, by the author, and never changed: what the gates, the signature and the approver relied on."""

Change = Literal[
    "set_alias", "delete_alias", "set_tag", "delete_tag", "create_version", "delete_version", "delete_model"
]


@dataclass(frozen=True, kw_only=True, slots=True)
class Wish:
    """One change that somebody asks for, and what the registry holds about its subject."""

    user: str
    change: Change
    model: str
    version: str = ""
    key: str = ""
    """The alias or the tag's name."""
    value: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    """The version's tags now; those it would be made with, for `create_version`."""
    aliases: frozenset[str] = frozenset()
    """The aliases that point to the version now; every alias, for `delete_model`."""

    @property
    def subject(self) -> str:
        """`<model>/<version>`, as the audit record names a version."""
        return f"{self.model}/{self.version}" if self.version else self.model

    @property
    def is_approval(self) -> bool:
        """Whether this is a person putting a version into service."""
        return self.change == "set_alias" and self.key == CHAMPION and self.user != CONTROLLER


def refusal(wish: Wish, approvers: frozenset[str], *, needs_meaning: bool = False) -> str:
    """Return why `wish` is refused, or "" where it is not.

    Args:
        wish: What is asked for.
        approvers: Who may put a version into service.
        needs_meaning: Whether an approval has to say in the tag `approval.meaning` what it means.
    """
    if wish.change in ("set_alias", "delete_alias"):
        refused = _alias_refusal(wish, approvers)
        lacks_meaning = needs_meaning and wish.is_approval and not wish.tags.get(MEANING_TAG, "").strip()
        return refused or (
            f"say what the approval means first, in the version's tag {MEANING_TAG}" if lacks_meaning else ""
        )
    if wish.change in ("set_tag", "delete_tag"):
        return _tag_refusal(wish, approvers)
    if wish.change == "create_version":
        return _creation_refusal(wish)
    held = sorted(wish.aliases & GUARDED_ALIASES)
    return f"it holds {', '.join(held)}: what serves, or may serve again, is not deleted or renamed" if held else ""


def _alias_refusal(wish: Wish, approvers: frozenset[str]) -> str:
    if wish.key not in GUARDED_ALIASES or wish.user == CONTROLLER:
        return ""
    if wish.key in CONTROLLER_ALIASES:
        return f"only the release controller moves the alias {wish.key}"
    if wish.user not in approvers:
        return f"only an approver moves the alias {CHAMPION}"
    if wish.change == "delete_alias":
        return f"the alias {CHAMPION} is moved to another version, never taken away"
    if not wish.tags.get(AUTHOR_TAG):
        return "the version has no recorded author; register it again"
    if wish.tags[AUTHOR_TAG] == wish.user:
        return "an author does not approve their own version; somebody else has to"
    return ""


def _tag_refusal(wish: Wish, approvers: frozenset[str]) -> str:
    if wish.key.startswith(CONTROLLER_TAGS):
        return "" if wish.user == CONTROLLER else f"only the release controller writes the tag {wish.key}"
    if wish.key.startswith(APPROVAL_TAGS):
        return "" if wish.user in approvers else f"only an approver writes the tag {wish.key}"
    if not wish.key.startswith(LASTING_TAGS):
        return ""
    now = wish.tags.get(wish.key)
    if wish.change == "delete_tag" or wish.key == AUTHOR_TAG or now is not None:
        is_as_registered = wish.change == "set_tag" and now == wish.value
        return "" if is_as_registered else f"the tag {wish.key} stays as it was registered"
    if wish.user in (ADMIN, wish.tags.get(AUTHOR_TAG)):
        return ""
    return f"only the version's author, or {ADMIN}, adds the tag {wish.key}"


def _creation_refusal(wish: Wish) -> str:
    if wish.tags.get(AUTHOR_TAG, wish.user) != wish.user:
        return f"the tag {AUTHOR_TAG} names who registers the version: {wish.user}"
    if any(key.startswith(CONTROLLER_TAGS) for key in wish.tags):
        return "the tags of a release are the release controller's"
    if any(key.startswith(APPROVAL_TAGS) for key in wish.tags):
        return "the tags of an approval are written by an approver, of a version that is registered"
    return ""
