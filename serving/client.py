"""Typed clients of the inference API: one image in, an `Answer` out, refusals as coded errors."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from imaging.errors import ConfigurationError
from imaging.settings import Settings
from serving.answer import Answer, Explain
from serving.question import RETRIED, Attempts, Question, read_answer, retry_after_s
from serving.tokens import authorization


@dataclass(frozen=True, kw_only=True, slots=True)
class ChestXrayClient:
    """Asks one TorchServe. A prediction changes nothing, so it is tried again when the server is busy or away."""

    url: str
    keys: Path | None = None
    """TorchServe's key file; without one, requests carry no token."""
    token: str = field(default="", repr=False)
    """An integration's token, which goes before the key file."""
    timeout_s: float = 30.0
    attempts: int = 4
    first_pause_s: float = 0.25
    transport: httpx.BaseTransport | None = None

    @classmethod
    def from_settings(cls, settings: Settings) -> "ChestXrayClient":
        """Raises ConfigurationError where no serving address is set."""
        if not settings.serving_url:
            raise ConfigurationError("no serving address: run `thorax up`, or set THORAX_SERVING_URL")
        return cls(
            url=settings.serving_url,
            keys=settings.serving_keys,
            token=settings.serving_token.get_secret_value(),
            timeout_s=settings.http_timeout_s,
        )

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
            image: A DICOM, PNG or JPEG file, which is read as it is sent; or its bytes.
            explain: Which heat map to draw; `none` is fastest.
            request_id: Yours, 1 to 64 of A-Za-z0-9_.-; a new one where absent.
            version: A loaded version other than the default one.
            smoke_token: What lets a release's own test through to a version that is not released yet.

        Raises:
            RefusedError: the server refused this image, with its code.
            AccessDeniedError: the token is missing, wrong, expired or revoked.
            ServiceError: no answer after the last attempt.
        """
        question = Question.about(
            image, explain=explain, request_id=request_id, version=version, smoke_token=smoke_token
        )
        tries = Attempts(most=self.attempts, first_pause_s=self.first_pause_s)
        problem, asked_s = "no attempt was made", 0.0
        with httpx.Client(base_url=self.url, timeout=self.timeout_s, transport=self.transport) as client:
            for attempt in range(tries.most):
                if attempt:
                    time.sleep(tries.pause_s(attempt, asked_s))
                headers = {**question.headers, **bearer(self.token, self.keys)}
                try:
                    response = client.post(question.path, content=question.body(), headers=headers)
                except httpx.TransportError as error:
                    problem, asked_s = type(error).__name__, 0.0
                    continue
                if response.status_code not in RETRIED:
                    return read_answer(response)
                problem, asked_s = f"HTTP {response.status_code}", retry_after_s(response)
        raise tries.given_up(problem)


@dataclass(frozen=True, kw_only=True, slots=True)
class AsyncChestXrayClient:
    """Does as `ChestXrayClient` within an event loop, over connections that it keeps; made by `connect`."""

    client: httpx.AsyncClient = field(repr=False)
    keys: Path | None = None
    token: str = field(default="", repr=False)
    attempts: int = 4
    first_pause_s: float = 0.25

    @classmethod
    @asynccontextmanager
    async def connect(
        cls, settings: Settings, *, transport: httpx.AsyncBaseTransport | None = None
    ) -> AsyncIterator["AsyncChestXrayClient"]:
        """Open connections, and close them in the end.

        Raises:
            ConfigurationError: no serving address is set.
        """
        if not settings.serving_url:
            raise ConfigurationError("no serving address: run `thorax up`, or set THORAX_SERVING_URL")
        timeout = settings.http_timeout_s
        async with httpx.AsyncClient(base_url=settings.serving_url, timeout=timeout, transport=transport) as client:
            yield cls(client=client, keys=settings.serving_keys, token=settings.serving_token.get_secret_value())

    async def predict(
        self, image: Path | bytes, *, explain: Explain = "none", request_id: str | None = None, version: str = ""
    ) -> Answer:
        """Classify one image; arguments and errors are those of `ChestXrayClient.predict`."""
        question = Question.about(image, explain=explain, request_id=request_id, version=version, smoke_token="")
        tries = Attempts(most=self.attempts, first_pause_s=self.first_pause_s)
        problem, asked_s = "no attempt was made", 0.0
        for attempt in range(tries.most):
            if attempt:
                await asyncio.sleep(tries.pause_s(attempt, asked_s))
            headers = {**question.headers, **bearer(self.token, self.keys)}
            try:
                response = await self.client.post(question.path, content=question.slow_body(), headers=headers)
            except httpx.TransportError as error:
                problem, asked_s = type(error).__name__, 0.0
                continue
            if response.status_code not in RETRIED:
                return read_answer(response)
            problem, asked_s = f"HTTP {response.status_code}", retry_after_s(response)
        raise tries.given_up(problem)


def bearer(token: str, keys: Path | None) -> dict[str, str]:
    """Return the header with an integration's token, else with the one of TorchServe's key file."""
    return {"Authorization": f"Bearer {token}"} if token else authorization(keys, "inference")
