"""The endpoint as an OpenAPI 3.1 document, made of the models that answer."""

import json
from typing import Any, get_args

from pydantic.json_schema import models_json_schema

from serving.answer import Answer, Explain, Refusal
from serving.feedback.messages import Adverse, Feedback
from serving.request import IMAGE_TYPES, REQUEST_ID

REFUSED = {
    400: "malformed_image or bad_request: the bytes are no readable image, or an option cannot be",
    401: "unauthenticated: no token that is known here",
    404: "not_found: no such path",
    405: "method_not_allowed",
    413: "image_too_large: more bytes, pixels or memory than an image may take",
    415: "unsupported_media_type: neither DICOM, PNG nor JPEG",
    422: "not_a_chest_radiograph or image_quality",
    429: "too_many_requests: beyond this client's rate; come back after Retry-After",
    502: "service_unavailable: the server is away; come back after Retry-After",
    503: "service_unavailable or not_released: busy, or no model is released; come back after Retry-After",
    504: "service_timeout; come back after Retry-After",
}
TRY_AGAIN = (429, 502, 503, 504)
TITLE = "Thorax: chest X-ray classification"


def openapi() -> dict[str, Any]:
    """Return the document."""
    _, schemas = models_json_schema(
        [
            (Answer, "serialization"),
            (Refusal, "serialization"),
            (Feedback, "validation"),
            (Adverse, "validation"),
        ],
        ref_template="#/components/schemas/{model}",
    )
    answer = {"description": "one classified image", "content": _json("Answer")}
    return {
        "openapi": "3.1.0",
        "info": {"title": TITLE, "version": "1", "description": "Decision support only; a physician must confirm."},
        "security": [{"token": []}],
        "paths": {
            "/predictions/chest-xray": {
                "post": {
                    "operationId": "predict",
                    "summary": "Classify one image.",
                    "parameters": [
                        _header("X-Thorax-Explain", {"enum": list(get_args(Explain)), "default": "none"}),
                        _header("X-Request-Id", {"type": "string", "pattern": f"^{REQUEST_ID.pattern}$"}),
                    ],
                    "requestBody": {"required": True, "content": {kind: {} for kind in IMAGE_TYPES}},
                    "responses": {"200": answer, **{str(status): _refusal(status) for status in REFUSED}},
                }
            },
            "/feedback": _message("giveFeedback", "Say which class an answered image has.", "Feedback"),
            "/adverse": _message("reportAdverse", "Report an adverse result; harm holds the model.", "Adverse"),
        },
        "components": {
            "schemas": schemas["$defs"],
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _message(operation: str, summary: str, kind: str) -> dict[str, Any]:
    said = {"201": "kept", "200": "kept before: the same id with the same content", "400": "no JSON object"}
    said |= {"401": REFUSED[401], "409": "conflict: the id was used for something else", "413": "more than 16 KiB"}
    said |= {"422": "a field that cannot be, or no class of the model", "503": "not kept; try again"}
    responses = {status: {"description": text} for status, text in said.items()}
    body = {"required": True, "content": _json(kind)}
    return {"post": {"operationId": operation, "summary": summary, "requestBody": body, "responses": responses}}


def openapi_json() -> str:
    """Return the document as the edge serves it."""
    return json.dumps(openapi(), indent=1, sort_keys=True) + "\n"


def _header(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "header", "required": False, "schema": schema}


def _refusal(status: int) -> dict[str, Any]:
    found: dict[str, Any] = {"description": REFUSED[status], "content": _json("Refusal")}
    if status in TRY_AGAIN:
        found["headers"] = {"Retry-After": {"schema": {"type": "integer"}}}
    return found


def _json(name: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}
