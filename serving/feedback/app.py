"""The two addresses over HTTP, as an ASGI application behind the edge, which has named the client.

It listens at a socket of this home; what reaches it has a token that the edge knows. Refusals have the three fields of
the inference API.
"""

import json
import logging
import sqlite3
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route

from imaging.errors import ThoraxError
from serving.feedback.desk import ConflictError, Desk, UnknownLabelError
from serving.feedback.messages import Adverse, Feedback

CLIENT_HEADER = "X-Thorax-Client"
LARGEST_BODY = 16 * 1024
STATUS = {ConflictError: 409, UnknownLabelError: 422}

logger = logging.getLogger("thorax.feedback")


def application(home: Path) -> Starlette:
    """Return the application of one home."""
    desk = Desk(home)

    async def feedback(request: Request) -> JSONResponse:
        return await _answer(request, Feedback, lambda given, client: _feedback(desk, given, client))

    async def adverse(request: Request) -> JSONResponse:
        return await _answer(request, Adverse, lambda given, client: _adverse(desk, given, client))

    async def queue(_request: Request) -> JSONResponse:
        return JSONResponse(await run_in_threadpool(_queue, home))

    async def figures(_request: Request) -> PlainTextResponse:
        return PlainTextResponse(await run_in_threadpool(_figures, home))

    async def ready(_request: Request) -> JSONResponse:
        return JSONResponse({"status": "ready"})

    return Starlette(
        routes=[
            Route("/feedback", feedback, methods=["POST"]),
            Route("/adverse", adverse, methods=["POST"]),
            Route("/queue", queue, methods=["GET"]),
            Route("/metrics", figures, methods=["GET"]),
            Route("/ready", ready, methods=["GET"]),
        ]
    )


def _queue(home: Path) -> list[Any]:
    """Return the images to ask about, as `thorax monitor queue` last chose them; none before."""
    try:
        rows = json.loads((home / "feedback" / "queue.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return rows if isinstance(rows, list) else []


def _figures(home: Path) -> str:
    """Return what the watch left for Prometheus; nothing before its first look."""
    try:
        return (home / "monitoring" / "metrics.prom").read_text(encoding="utf-8")
    except OSError:
        return ""


def _feedback(desk: Desk, given: Feedback, client: str) -> tuple[int, dict[str, Any]]:
    done = desk.take_feedback(given, client=client)
    return (201 if done == "recorded" else 200), {"feedback_id": given.feedback_id, "outcome": done}


def _adverse(desk: Desk, given: Adverse, client: str) -> tuple[int, dict[str, Any]]:
    done, held = desk.take_adverse(given, client=client)
    return (201 if done == "recorded" else 200), {"report_id": given.report_id, "outcome": done, "on_hold": held}


async def _answer(request: Request, kind: type[BaseModel], take: Any) -> JSONResponse:
    client = request.headers.get(CLIENT_HEADER) or "torchserve"
    try:
        given = kind.model_validate(await _body(request))
        status, body = await run_in_threadpool(take, given, client)
    except ValidationError as error:
        return _refusal(422, "invalid_request", _what_is_wrong(error))
    except _TooLargeError:
        return _refusal(413, "request_too_large", f"a message has at most {LARGEST_BODY} bytes")
    except ValueError:
        return _refusal(400, "bad_request", "the body is no JSON object")
    except ThoraxError as error:
        return _refusal(STATUS.get(type(error), 503), error.code, str(error))
    except (OSError, sqlite3.Error) as error:  # the disk: nothing was kept, and the sender may try again
        logger.warning("feedback was not kept: %s", type(error).__name__)
        return _refusal(503, "service_unavailable", "it could not be kept; try again", retry=True)
    return JSONResponse(body, status_code=status)


class _TooLargeError(Exception):
    pass


async def _body(request: Request) -> Any:
    """Return the JSON of a request, which must be an object."""
    data = b""
    async for chunk in request.stream():
        data += chunk
        if len(data) > LARGEST_BODY:
            raise _TooLargeError
    document = json.loads(data)
    return document if isinstance(document, dict) else {}


def _what_is_wrong(error: ValidationError) -> str:
    """Name the fields and what is wrong, never what was in them."""
    return "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()[:5])


def _refusal(status: int, code: str, detail: str, *, retry: bool = False) -> JSONResponse:
    headers = {"Retry-After": "2"} if retry else None
    return JSONResponse({"code": code, "detail": detail, "request_id": ""}, status_code=status, headers=headers)
