"""One request as TorchServe hands it to a handler, read into a value.

Facts of TorchServe 0.12 that shape this: `/predictions/…` drops the query string (`/invocations?model_name=…`
passes it on as fields); the header `explain` is overwritten with True or False, the former only for
`/explanations/…`; a JSON or text body arrives already parsed, unless TS_DECODE_INPUT_REQUEST=false.
So an option is looked for in the fields first, then in the headers X-Thorax-Explain and X-Request-Id.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast, get_args

from imaging.errors import MalformedImageError, UnsupportedMediaTypeError
from serving.answer import Explain
from serving.errors import BadRequestError
from serving.release_gate import SHADOW_HEADER, SMOKE_TEST_HEADER

REQUEST_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")
EXPLAIN_HEADERS = ("x-thorax-explain", "explain")
REQUEST_ID_HEADERS = ("x-request-id", "request_id", "request-id")
IMAGE_FIELDS = ("body", "data")
IMAGE_TYPES = ("application/dicom", "image/png", "image/jpeg")
HOW = "send the image's bytes as the body, with Content-Type application/dicom, image/png or image/jpeg"


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """A request whose options are known to be sound; its image is not looked at yet."""

    request_id: str
    image: bytes
    media_type: str
    explain: Explain = "none"


def read_request_id(fields: Mapping[str, Any], headers: Mapping[str, Any]) -> str | None:
    """Return the client's request id, or None where it gave none.

    Raises:
        BadRequestError: for an id that could forge a log line or a file name.
    """
    given = _option("request_id", REQUEST_ID_HEADERS, fields, headers)
    if given is None:
        return None
    if not REQUEST_ID.fullmatch(given):
        raise BadRequestError("a request_id is 1 to 64 characters of A-Z, a-z, 0-9, '_', '.' and '-'")
    return given


def read_smoke_token(headers: Mapping[str, Any]) -> str:
    """Return what the release's smoke test shows for itself; empty for every other request."""
    return _header((SMOKE_TEST_HEADER.lower(),), headers) or ""


def read_shadow_token(headers: Mapping[str, Any]) -> str:
    """Return what the edge's copy of a request shows for itself; the edge lets no client send it."""
    return _header((SHADOW_HEADER.lower(),), headers) or ""


def read_request(fields: Mapping[str, Any], headers: Mapping[str, Any], request_id: str) -> Request:
    """Read the body and the options.

    Raises:
        BadRequestError: for an unknown way to explain.
        UnsupportedMediaTypeError: for a body that is text, JSON or a form without an image.
        MalformedImageError: for an empty body.
    """
    explain = _option("explain", EXPLAIN_HEADERS, fields, headers) or "none"
    if explain not in get_args(Explain):
        raise BadRequestError(f"explain is one of {', '.join(get_args(Explain))}")
    name = next((name for name in IMAGE_FIELDS if name in fields), None)
    if name is None:
        raise UnsupportedMediaTypeError(f"no image in the request; {HOW}")
    body = fields[name]
    if not isinstance(body, bytes | bytearray | memoryview):
        raise UnsupportedMediaTypeError(f"the body is text or JSON; {HOW}")
    if not body:
        raise MalformedImageError(f"the body is empty; {HOW}")
    media_type = _media_type(name, headers)
    return Request(request_id=request_id, image=bytes(body), media_type=media_type, explain=cast(Explain, explain))


def _option(
    name: str, header_names: tuple[str, ...], fields: Mapping[str, Any], headers: Mapping[str, Any]
) -> str | None:
    """Return a field or header's text; what is no UTF-8 text comes back as one that no rule accepts."""
    value = fields.get(name)
    if value is None:
        value = _header(header_names, headers)
    if value is None:
        return None
    if isinstance(value, bytes | bytearray):
        return bytes(value).decode(errors="replace")
    return value if isinstance(value, str) else "\N{REPLACEMENT CHARACTER}"


def _header(names: tuple[str, ...], headers: Mapping[str, Any]) -> str | None:
    for wanted in names:
        for name, value in headers.items():
            if name.lower() != wanted or not isinstance(value, str):
                continue
            if name == "explain" and value in ("True", "False"):
                if value == "True":
                    return "grad-cam"
                continue
            return value
    return None


def _media_type(field: str, headers: Mapping[str, Any]) -> str:
    """Return the declared type if it is one of ours, "" where none is declared, else "other": it goes into the log."""
    part = headers.get(field)
    declared = part.get("content-type") if isinstance(part, Mapping) else None
    declared = declared or _header(("content-type",), headers) or ""
    plain = str(declared).split(";")[0].strip().lower()
    return plain if plain in (*IMAGE_TYPES, "") else "other"
