"""MLflow's `authorization_function`: who is asking, may they, and the record of it.

It runs inside the MLflow server, the one place where the actor of an alias move is known: neither the registry nor
its webhooks keep one. Requests are told apart by the handler Flask chose, not by their path, and read by MLflow's own
parser, so that this function and the handler cannot understand one request differently. REST and the UI's ajax-api
share both.
"""

import logging
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from flask import after_this_request, g, make_response, request
from mlflow.protos import model_registry_pb2 as messages
from mlflow.server import handlers
from werkzeug.datastructures import Authorization
from werkzeug.wrappers import Response as AnyResponse

from audit import AuditError, record
from imaging.errors import ServiceError
from serving.registry_server.rules import AUTHOR_TAG, MEANING_TAG, Change, Wish, refusal

if TYPE_CHECKING:
    from flask.wrappers import Response

logger = logging.getLogger("thorax.registry")

GUARDED: dict[str, tuple[Change, type]] = {
    "_set_registered_model_alias": ("set_alias", messages.SetRegisteredModelAlias),
    "_delete_registered_model_alias": ("delete_alias", messages.DeleteRegisteredModelAlias),
    "_set_model_version_tag": ("set_tag", messages.SetModelVersionTag),
    "_delete_model_version_tag": ("delete_tag", messages.DeleteModelVersionTag),
    "_create_model_version": ("create_version", messages.CreateModelVersion),
    "_delete_model_version": ("delete_version", messages.DeleteModelVersion),
    "_delete_registered_model": ("delete_model", messages.DeleteRegisteredModel),
    "_rename_registered_model": ("delete_model", messages.RenameRegisteredModel),
}
"""MLflow's handlers that change what may be served, with the change each makes and the message it reads."""


def authorize() -> "Authorization | Response":
    """Return who asks, or the answer that refuses them.

    MLflow calls this several times a request; the first decision stands, and is recorded once.
    """
    if "thorax_decision" not in g:
        g.thorax_decision = _decide()
    return g.thorax_decision


def approvers() -> frozenset[str]:
    """Users who may put a version into service: `THORAX_APPROVERS`, comma-separated; `approver` where unset."""
    names = os.environ.get("THORAX_APPROVERS", "approver").split(",")
    return frozenset(name.strip() for name in names if name.strip())


def needs_meaning() -> bool:
    """Whether an approval without a meaning is refused: `THORAX_APPROVAL_MEANING=required`."""
    return os.environ.get("THORAX_APPROVAL_MEANING", "") == "required"


def check_routes() -> None:
    """Make sure that MLflow still has every handler that is guarded here, under the names this file knows.

    Raises:
        ServiceError: for an MLflow in which one is missing; the server must not start unguarded.
    """
    there = {handler.__name__ for _path, handler, _methods in handlers.get_endpoints()}
    if missing := sorted(GUARDED.keys() - there):
        raise ServiceError(f"this MLflow has no handler {', '.join(missing)}: install the version in requirements.lock")


def _decide() -> "Authorization | Response":
    from mlflow.server.auth import authenticate_request_basic_auth

    found = authenticate_request_basic_auth()
    if isinstance(found, AnyResponse) or request.endpoint not in GUARDED:
        return found
    wish = _read_wish(str(found.username), *GUARDED[request.endpoint])
    try:
        reason = refusal(wish, approvers(), needs_meaning=needs_meaning())
        return _refuse(wish, reason) if reason else _allow(wish, found)
    except (AuditError, OSError) as error:
        logger.warning("audit record not written: %s", error)
        return _answer(503, "TEMPORARILY_UNAVAILABLE", "the audit record cannot be written; nothing was changed")


def _read_wish(user: str, change: Change, message: Callable[[], Any]) -> Wish:
    """Read the request as MLflow's handler will, and look up what it is about."""
    asked = handlers._get_request_message(message())
    key = getattr(asked, "alias", "") or getattr(asked, "key", "")
    tags = {tag.key: tag.value for tag in asked.tags} if change == "create_version" else {}
    aliases: frozenset[str] = frozenset()
    version = getattr(asked, "version", "")
    if change == "delete_model":
        aliases = frozenset(_store().get_registered_model(asked.name).aliases)
    elif version:
        known = _store().get_model_version(asked.name, version)
        version, tags, aliases = str(known.version), dict(known.tags), frozenset(known.aliases)
    value = str(getattr(asked, "value", ""))
    return Wish(
        user=user, change=change, model=asked.name, version=version, key=key, value=value, tags=tags, aliases=aliases
    )


def _allow(wish: Wish, who: Authorization) -> Authorization:
    """Let the request through; an approval is on record before it takes effect."""
    if wish.is_approval:
        meaning = wish.tags.get(MEANING_TAG, "").strip() or "approved to be served"
        details = {"alias": wish.key, "author": wish.tags[AUTHOR_TAG], "meaning": meaning}
        record("model.approved", subject=wish.subject, actor=wish.user, details=details)
        after_this_request(lambda response: _note_failure(wish, response))
    if wish.change == "create_version" and AUTHOR_TAG not in wish.tags:
        after_this_request(lambda response: _sign(wish, response))
    return who


def _note_failure(wish: Wish, response: "Response") -> "Response":
    """Record that an approval on record was not carried out."""
    if response.status_code >= 400:
        details = {"reason": f"the registry answered HTTP {response.status_code}"}
        record("approval.refused", subject=wish.subject, actor=wish.user, details=details)
    return response


def _sign(wish: Wish, response: "Response") -> "Response":
    """Write the author on a version that was just made; without the tag nobody can approve it."""
    if response.status_code == 200:
        from mlflow.entities.model_registry import ModelVersionTag

        version = str((response.get_json() or {})["model_version"]["version"])
        _store().set_model_version_tag(wish.model, version, ModelVersionTag(AUTHOR_TAG, wish.user))
    return response


def _refuse(wish: Wish, reason: str) -> "Response":
    own = wish.is_approval and wish.user in approvers()
    details = {"change": wish.change, "key": wish.key, "reason": reason}
    record("approval.refused" if own else "access.denied", subject=wish.subject, actor=wish.user, details=details)
    return _answer(403, "PERMISSION_DENIED", reason)


def _answer(status: int, code: str, message: str) -> "Response":
    return make_response({"error_code": code, "message": message}, status)


def _store() -> Any:
    return handlers._get_model_registry_store()
