"""TorchServe's management API for `chest-xray`: what is loaded, load, make default, unload."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from imaging.errors import ConfigurationError, ServiceError
from imaging.settings import Settings
from serving.archive import MODEL_NAME
from serving.errors import AccessDeniedError, ModelLoadError
from serving.tokens import authorization

READY_WITHIN_S = 180.0
"""A worker imports torch and reads the weights: seconds alone, more on a busy machine."""
DRAINED_WITHIN_S = 20.0
IN_HAND_S = 3.0
"""For the requests in the worker's hands, which are no longer in the queue: some slow images with heat maps."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadedVersion:
    """One version of the model as TorchServe describes it."""

    version: str
    archive: str
    is_ready: bool
    pending_requests: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class ManagementClient:
    """Talks to one TorchServe. Every call has a time limit and is tried again when the connection fails."""

    url: str
    keys: Path | None = None
    timeout_s: float = 30.0
    attempts: int = 3
    pause_s: float = 0.5
    transport: httpx.BaseTransport | None = None
    sleep: Callable[[float], None] = time.sleep

    @classmethod
    def from_settings(cls, settings: Settings) -> "ManagementClient":
        """Raises ConfigurationError where no management address is set."""
        if not settings.management_url:
            raise ConfigurationError("no management address: run `thorax up`, or set THORAX_MANAGEMENT_URL")
        return cls(url=settings.management_url, keys=settings.serving_keys, timeout_s=settings.http_timeout_s)

    def loaded(self) -> dict[str, LoadedVersion]:
        """Every loaded version by its name; empty where there is none."""
        return {version.version: version for version in self._describe("/all")}

    def default(self) -> str | None:
        """The version that answers `/predictions/chest-xray`."""
        versions = self._describe("")
        return versions[0].version if versions else None

    def register(self, archive: str) -> None:
        """Load an archive of the model store and start its workers; loaded already is fine.

        Raises:
            ModelLoadError: TorchServe refuses the archive.
        """
        query = {"url": archive, "initial_workers": "1", "synchronous": "false"}
        response = self._call("POST", "/models", query)
        if not response.is_success and response.status_code != httpx.codes.CONFLICT:
            raise ModelLoadError(f"TorchServe does not load {archive}: {_message(response)}")

    def wait_until_ready(self, version: str, *, within_s: float = READY_WITHIN_S) -> None:
        """Wait for a READY worker.

        Raises:
            ModelLoadError: there is none within the time; the worker's log says why.
        """
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            loaded = self.loaded().get(version)
            if loaded is None:
                raise ModelLoadError(f"TorchServe dropped version {version} while it was loading")
            if loaded.is_ready:
                return
            self.sleep(self.pause_s)
        raise ModelLoadError(f"no worker of version {version} was ready within {within_s:.0f} s; see its log")

    def set_default(self, version: str) -> None:
        """Let `/predictions/chest-xray` be answered by `version` from now on."""
        self._must("PUT", f"/models/{MODEL_NAME}/{version}/set-default")

    def unregister(self, version: str) -> None:
        """Unload a version after its queue is empty; not loaded is fine."""
        self.drain(version)
        response = self._call("DELETE", f"/models/{MODEL_NAME}/{version}")
        if not response.is_success and response.status_code != httpx.codes.NOT_FOUND:
            raise ServiceError(f"TorchServe does not unload version {version}: {_message(response)}")

    def drain(self, version: str) -> None:
        """Wait, within limits, until a version that is asked no more has answered what it was asked."""
        deadline = time.monotonic() + DRAINED_WITHIN_S
        while time.monotonic() < deadline:
            loaded = self.loaded().get(version)
            if loaded is None:
                return
            if loaded.pending_requests == 0:  # what waits for a worker that is being started again is answered too
                self.sleep(IN_HAND_S if loaded.is_ready else 0.0)
                return
            self.sleep(self.pause_s)

    def _describe(self, suffix: str) -> list[LoadedVersion]:
        response = self._call("GET", f"/models/{MODEL_NAME}{suffix}")
        if response.status_code == httpx.codes.NOT_FOUND:
            return []
        if not response.is_success:
            raise ServiceError(f"TorchServe does not describe the model: {_message(response)}")
        try:
            return [_version(entry) for entry in response.json()]
        except (ValueError, KeyError, TypeError) as error:
            raise ServiceError("TorchServe's description of the model is not understood") from error

    def _must(self, method: str, path: str) -> None:
        response = self._call(method, path)
        if not response.is_success:
            raise ServiceError(f"TorchServe answered HTTP {response.status_code}: {_message(response)}")

    def _call(self, method: str, path: str, query: dict[str, str] | None = None) -> httpx.Response:
        problem = ""
        with httpx.Client(base_url=self.url, timeout=self.timeout_s, transport=self.transport) as client:
            for attempt in range(self.attempts):
                if attempt:
                    self.sleep(self.pause_s * attempt)
                try:
                    headers = authorization(self.keys, "management")
                    response = client.request(method, path, params=query, headers=headers)
                except httpx.TransportError as error:
                    problem = type(error).__name__
                    continue
                if response.status_code in (401, 403) or "InvalidKeyException" in response.text:
                    raise AccessDeniedError("the management token is missing, wrong or expired")
                if response.status_code == httpx.codes.METHOD_NOT_ALLOWED:
                    raise ServiceError("TorchServe was started without enable_model_api=true; it loads nothing")
                return response
        raise ServiceError(f"TorchServe's management API does not answer ({problem})")


def _version(entry: dict[str, Any]) -> LoadedVersion:
    return LoadedVersion(
        version=str(entry["modelVersion"]),
        archive=str(entry["modelUrl"]).rsplit("/", 1)[-1],
        is_ready=any(worker.get("status") == "READY" for worker in entry.get("workers") or []),
        pending_requests=int((entry.get("jobQueueStatus") or {}).get("pendingRequests", 0)),
    )


def _message(response: httpx.Response) -> str:
    """TorchServe's own words, cut short."""
    try:
        return str(response.json()["message"])[:300]
    except (ValueError, KeyError, TypeError):
        return f"HTTP {response.status_code}"
