"""TorchServe's handler of `chest-xray`: initialize once a worker, handle once a batch.

It turns TorchServe's fields and headers into requests, and readings into JSON with their status; what
lies between is `serving.reader`. Refusals that TorchServe makes itself (no token: 400 InvalidKeyException;
no such model: 404; more bytes than `max_request_size`: 413 without a body; full queue: 503) never get here; the
prediction log has them from the access log. A version that is not released answers 503 `not_released`.
"""

from functools import partial
from pathlib import Path
from typing import Any

from imaging.settings import Settings
from serving.errors import NotReleasedError
from serving.loading import load_reader
from serving.reading import Reading
from serving.receiving import receive
from serving.release.hold import hold_of
from serving.release_gate import Released, ReleaseGate, may_answer
from serving.request import read_shadow_token, read_smoke_token


class ChestXrayHandler:
    """Answers batches of chest X-rays with one JSON document each."""

    def initialize(self, context: Any) -> None:
        """Load the package of this archive once its digest and its signature hold.

        Raises:
            ModelPackageError: it is not the released one, not signed, or could run code; the worker does not start.
        """
        settings = Settings()
        released = context.manifest["model"]
        gpu = context.system_properties.get("gpu_id")
        self.reader = load_reader(
            Path(context.system_properties["model_dir"]) / "package",
            settings,
            name=released["modelName"],
            version=released["modelVersion"],
            digest=released["digest"],
            device="cpu" if gpu is None else f"cuda:{gpu}",
            threads=int((context.model_yaml_config or {}).get("handler", {}).get("threads", 0)),
            metrics=context.metrics,
        )
        self.gate = ReleaseGate.of(settings.home / "release")

    def handle(self, requests: list[dict[str, Any]], context: Any) -> list[str]:
        """Answer a batch. One bad request gets its own 4xx; its neighbours are served."""
        released = self.gate.read()
        identity = self.reader.identity
        reader = self.reader.at(
            released.stage_of(identity.version, identity.digest), held=hold_of(self.gate.path.parent) is not None
        )
        cases = []
        for index, fields in enumerate(requests):
            headers = context.get_all_request_header(index)
            cases.append(receive(fields, headers, partial(self._refuse_unreleased, released, headers)))
        return [self._send(reading, context, i) for i, reading in enumerate(reader.read(cases))]

    def _refuse_unreleased(self, released: Released, headers: dict[str, Any]) -> None:
        identity = self.reader.identity
        tokens = {"token": read_smoke_token(headers), "shadow_token": read_shadow_token(headers)}
        if not may_answer(released, identity.version, identity.digest, **tokens):
            raise NotReleasedError(f"version {identity.version} is loaded and not released; try again")

    def _send(self, reading: Reading, context: Any, index: int) -> str:
        context.set_response_status(code=reading.status, phrase="", idx=index)
        context.set_response_content_type(index, "application/json")
        for name, value in reading.headers.items():
            context.set_response_header(index, name, value)
        return reading.text
