"""A typed client of the inference API: one image in, an `Answer` out, refusals as coded errors."""

import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from pydantic import ValidationError

from imaging.errors import ConfigurationError, ServiceError
from imaging.settings import Settings
from serving.answer import Answer, Explain, Refusal
from serving.errors import AccessDeniedError, RefusedError
from serving.release_gate import SMOKE_TEST_HEADER
from serving.tokens import authorization

RETRIED = (429, 500, 502, 503, 504, 507)
"""Busy, away, or (507) a worker that died with the request in its hands."""
LONGEST_PAUSE_S = 10.0
MAGIC = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg"}


@dataclass(frozen=True, kw_only=True, slots=True)
class ChestXrayClient:
    """Asks one TorchServe. A prediction changes nothing, so it is tried again when the server is busy or away."""

    url: str
    keys: Path | None = None
    """TorchServe's key file; without one, requests carry no token."""
    timeout_s: float = 30.0
    attempts: int = 4
    first_pause_s: float = 0.25
    transport: httpx.BaseTransport | None = None

    @classmethod
    def from_settings(cls, settings: Settings) -> "ChestXrayClient":
        """Raises ConfigurationError where no serving address is set."""
        if not settings.serving_url:
            raise ConfigurationError("no serving address: run `thorax up`, or set THORAX_SERVING_URL")
        return cls(url=settings.serving_url, keys=settings.serving_keys, timeout_s=settings.http_timeout_s)

    def predict(
        self,
        image: Path | bytes,
        *,
        explain: Explain = "none",
        request_id: str | None = None,
        version: str = "",
        smoke_token: str = "",
    ) -> Answer:
        """Classify one image.

        Args:
            image: A DICOM, PNG or JPEG file, or its bytes.
            explain: Which heat map to draw; `none` is fastest.
            request_id: Yours, 1 to 64 of A-Za-z0-9_.-; a new one where absent.
            version: A loaded version other than the default one.
            smoke_token: What lets a release's own test through to a version that is not released yet.

        Raises:
            RefusedError: the server refused this image, with its code.
            AccessDeniedError: the token is missing, wrong or expired.
            ServiceError: no answer after the last attempt.
        """
        data = image.read_bytes() if isinstance(image, Path) else image
        headers = {
            "Content-Type": _media_type(data),
            "X-Thorax-Explain": explain,
            "X-Request-Id": request_id or uuid.uuid4().hex,
        }
        if smoke_token:
            headers[SMOKE_TEST_HEADER] = smoke_token
        path = "/predictions/chest-xray" + (f"/{version}" if version else "")
        response = self._post(path, data, headers)
        if response.status_code == httpx.codes.OK:
            return _read(Answer, response)
        raise _refusal(response)

    def _post(self, path: str, data: bytes, headers: dict[str, str]) -> httpx.Response:
        problem, asked_to_wait_s = "no attempt was made", 0.0
        with httpx.Client(base_url=self.url, timeout=self.timeout_s, transport=self.transport) as client:
            for attempt in range(self.attempts):
                if attempt:
                    time.sleep(max(self.first_pause_s * 2 ** (attempt - 1), asked_to_wait_s))
                try:
                    response = client.post(path, content=data, headers={**headers, **self._token()})
                except httpx.TransportError as error:
                    problem = type(error).__name__
                    continue
                if response.status_code not in RETRIED:
                    return response
                problem, asked_to_wait_s = f"HTTP {response.status_code}", _retry_after_s(response)
        raise ServiceError(f"TorchServe gave no answer in {self.attempts} attempts ({problem}); see `thorax status`")

    def _token(self) -> dict[str, str]:
        return authorization(self.keys, "inference")


def _media_type(data: bytes) -> str:
    """Name the type by the first bytes; what is none of ours is for the server to refuse."""
    if data[128:132] == b"DICM":
        return "application/dicom"
    return next((kind for magic, kind in MAGIC.items() if data.startswith(magic)), "application/octet-stream")


def _retry_after_s(response: httpx.Response) -> float:
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
