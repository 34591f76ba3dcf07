"""Paths of MLflow's server that lead out of the registry, which nobody reaches, whatever their rights.

They are an assistant that runs commands on this machine, a gateway to language models, jobs, webhooks, traces. Known by
the path alone, before MLflow sees the request. What MLflow adds in a later version is told by a test, which asks of
every route whether it is closed, guarded or known.
"""

import json
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

CLOSED = re.compile(
    r"/(?:gateway|v1)(?:/|$)"
    r"|/(?:ajax-)?api/\d+\.\d+/(?:jobs|mcp[a-z-]*)(?:/|$)"
    r"|/(?:ajax-)?api/\d+\.\d+/mlflow/"
    r"(?:assistant|gateway|gateway-proxy|jobs|webhooks|genai|scorers?|issues/invoke|prompt-optimization|demo|mcp[a-z-]*"
    r"|runs/create-promptlab-run)(?:/|$)",
    re.IGNORECASE,
)
ANSWER = json.dumps({"error_code": "ENDPOINT_NOT_FOUND", "message": "this part of MLflow is closed here"}).encode()


def is_closed(path: str) -> bool:
    """Tell whether a path leads out of the registry; repeated slashes are one."""
    return bool(CLOSED.match(re.sub(r"/+", "/", path)))


def closing(app: App) -> App:
    """Return an ASGI application that answers 404 for closed paths, and else what `app` answers."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or not is_closed(str(scope.get("path", ""))):
            await app(scope, receive, send)
            return
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(ANSWER)).encode())]
        await send({"type": "http.response.start", "status": 404, "headers": headers})
        await send({"type": "http.response.body", "body": ANSWER})

    return answer
