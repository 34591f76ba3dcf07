"""One image on its way to a server, and the way back: what waiting and other clients have in common."""

import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import httpx
from pydantic import ValidationError

from imaging.errors import ServiceError
from serving.answer import Answer, Explain, Refusal
from serving.errors import AccessDeniedError, RefusedError
from serving.release_gate import SMOKE_TEST_HEADER

RETRIED = (429, 500, 502, 503, 504, 507)
"""Busy, away, or (507) a worker that died with the request in its hands."""
LONGEST_PAUSE_S = 10.0
HEAD_BYTES = 132
PIECE_BYTES = 2**20
MAGIC = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """A request that may be sent again: the same headers, and a body that is read anew, a file in pieces."""

    path: str
    headers: dict[str, str] = field(repr=False)
    image: Path | bytes = field(repr=False)

    @classmethod
    def about(
        cls, image: Path | bytes, *, explain: Explain, request_id: str | None, version: str, smoke_token: str
    ) -> Self:
        """Compose a request; the arguments are those of the clients' `predict`."""
        head, size = _head(image)
        headers = {
            "Content-Type": _media_type(head),
            "Content-Length": str(size),
            "X-Thorax-Explain": explain,
            "X-Request-Id": request_id or uuid.uuid4().hex,
        }
        if smoke_token:
            headers[SMOKE_TEST_HEADER] = smoke_token
        path = "/predictions/chest-xray" + (f"/{version}" if version else "")
        return cls(path=path, headers=headers, image=image)

    def body(self) -> bytes | Iterator[bytes]:
        """Return the image, a file piece by piece."""
        return self.image if isinstance(self.image, bytes) else _pieces(self.image)

    def slow_body(self) -> bytes | AsyncIterator[bytes]:
        """Do as `body` for a client that does not wait."""
        return self.image if isinstance(self.image, bytes) else _slow_pieces(self.image)


def _head(image: Path | bytes) -> tuple[bytes, int]:
    if isinstance(image, bytes):
        return image[:HEAD_BYTES], len(image)
    with image.open("rb") as file:
        return file.read(HEAD_BYTES), image.stat().st_size


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            yield piece


async def _slow_pieces(path: Path) -> AsyncIterator[bytes]:
    for piece in _pieces(path):  # a file on disk: no wait worth a thread
        yield piece


def _media_type(data: bytes) -> str:
    """Name the type by the first bytes; what is none of ours is for the server to refuse."""
    if data[128:132] == b"DICM":
        return "application/dicom"
    return next((kind for magic, kind in MAGIC.items() if data.startswith(magic)), "application/octet-stream")


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempts:
    """How often a question is sent, and the pauses between."""

    most: int
    first_pause_s: float

    def pause_s(self, attempt: int, asked_s: float) -> float:
        """Return how long to wait before the attempt of this number, the second being 1."""
        return max(self.first_pause_s * 2 ** (attempt - 1), asked_s)

    def given_up(self, problem: str) -> ServiceError:
        """Return the error of the last attempt."""
        return ServiceError(f"TorchServe gave no answer in {self.most} attempts ({problem}); see `thorax status`")


def read_answer(response: httpx.Response) -> Answer:
    """Return a response's answer.

    Raises:
        RefusedError: it is a refusal.
        AccessDeniedError: the token is missing, wrong, expired or revoked.
        ServiceError: it is none of this API.
    """
    if response.status_code == httpx.codes.OK:
        answer: Answer = _read(Answer, response)
        return answer
    raise _refusal(response)


def retry_after_s(response: httpx.Response) -> float:
    """Return the seconds that the server asks for, within reason; 0 where it asks for none."""
    given = response.headers.get("Retry-After", "")
    return min(float(given), LONGEST_PAUSE_S) if given.isdecimal() else 0.0


def _read(shape: Any, response: httpx.Response) -> Any:
    try:
        return shape.model_validate_json(response.content)
    except ValidationError as error:
        raise ServiceError(f"TorchServe's answer (HTTP {response.status_code}) is not of this API") from error


def _refusal(response: httpx.Response) -> Exception:
    """Tell our own coded refusals from those that TorchServe makes before a request reaches the model."""
    try:
        ours = Refusal.model_validate_json(response.content)
    except ValidationError:
        return _refusal_of_torchserve(response)
    if response.status_code in (401, 403):
        return AccessDeniedError(
            "the token is missing, wrong or revoked; see THORAX_SERVING_TOKEN, THORAX_SERVING_KEYS"
        )
    return RefusedError(ours.code, ours.detail, status=response.status_code, request_id=ours.request_id)


def _refusal_of_torchserve(response: httpx.Response) -> Exception:
    status, text = response.status_code, response.text
    if status in (401, 403) or "InvalidKeyException" in text:
        return AccessDeniedError("the inference token is missing, wrong or expired; see THORAX_SERVING_KEYS")
    if status == httpx.codes.REQUEST_ENTITY_TOO_LARGE:
        return RefusedError("image_too_large", "more bytes than the server takes", status=status)
    if status == httpx.codes.NOT_FOUND:
        return ServiceError("no chest-xray model is loaded; approve one: `thorax models approve VERSION`")
    return ServiceError(f"TorchServe answered HTTP {status}; see `thorax logs torchserve`")
