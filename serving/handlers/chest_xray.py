"""TorchServe's handler of `chest-xray`: initialize once a worker, handle once a batch.

It turns TorchServe's fields and headers into requests, and readings into JSON with their status; what
lies between is `serving.reader`. Refusals that TorchServe makes itself (no token: 400 InvalidKeyException;
no such model: 404; more bytes than `max_request_size`: 413 without a body; full queue: 503) never get here; the
prediction log has them from the access log. A version that is not released answers 503 `not_released`.
"""

import uuid
from pathlib import Path
from typing import Any

from audit.predictions import PredictionSpool
from imaging.allocation import keep_memory
from imaging.dicom.pixels import Limits
from imaging.errors import InvalidImageError, ServiceError
from imaging.inference import Predictor
from imaging.settings import Settings
from serving.answer import ModelIdentity
from serving.decoding.decoders import Decoders, DecodingLimits
from serving.errors import BadRequestError, NotReleasedError
from serving.packages import verify_for_serving
from serving.reader import Case, Reader, Reading
from serving.release_gate import Released, ReleaseGate, may_answer
from serving.request import read_request, read_request_id, read_smoke_token

RETRY_AFTER_S = "1"


class ChestXrayHandler:
    """Answers batches of chest X-rays with one JSON document each."""

    def initialize(self, context: Any) -> None:
        """Load the package of this archive once its digest and its signature hold.

        Raises:
            ModelPackageError: it is not the released one, not signed, or could run code; the worker does not start.
        """
        keep_memory()
        settings = Settings()
        released = context.manifest["model"]
        package = Path(context.system_properties["model_dir"]) / "package"
        verify_for_serving(package, released["digest"], settings)
        self.gate = ReleaseGate.of(settings.home / "release")
        gpu = context.system_properties.get("gpu_id")
        device = "cpu" if gpu is None else f"cuda:{gpu}"
        predictor = Predictor.load(package, device=device, runtime=settings.runtime)
        self.reader = Reader(
            predictor=predictor,
            identity=ModelIdentity(
                name=released["modelName"],
                version=released["modelVersion"],
                digest=released["digest"],
                stage=released.get("stage", "champion"),
                runtime=predictor.runtime.name,
            ),
            spool=PredictionSpool(settings.home / "predictions" / "spool"),
            decoder=Decoders(_limits(settings)),
        )

    def handle(self, requests: list[dict[str, Any]], context: Any) -> list[str]:
        """Answer a batch. One bad request gets its own 4xx; its neighbours are served."""
        released = self.gate.read()
        cases = [
            self._receive(fields, context.get_all_request_header(i), released) for i, fields in enumerate(requests)
        ]
        return [self._send(reading, context, i) for i, reading in enumerate(self.reader.read(cases))]

    def _receive(self, fields: dict[str, Any], headers: dict[str, Any], released: Released) -> Case:
        case = Case(request_id=uuid.uuid4().hex)
        try:
            case.request_id = read_request_id(fields, headers) or case.request_id
            self._refuse_unreleased(released, read_smoke_token(headers))
            case.request = read_request(fields, headers, case.request_id)
        except (BadRequestError, InvalidImageError, NotReleasedError) as error:
            case.error = error
        except Exception:  # what is raised here fails the batch, unlogged: no request may do that to its neighbours
            case.error = ServiceError("the request could not be read; try again")
        return case

    def _refuse_unreleased(self, released: Released, token: str) -> None:
        identity = self.reader.identity
        if not may_answer(released, identity.version, identity.digest, token=token):
            raise NotReleasedError(f"version {identity.version} is loaded and not released; try again")

    def _send(self, reading: Reading, context: Any, index: int) -> str:
        context.set_response_status(code=reading.status, phrase="", idx=index)
        context.set_response_content_type(index, "application/json")
        if reading.status in (429, 503):
            context.set_response_header(index, "Retry-After", RETRY_AFTER_S)
        return reading.body.model_dump_json(exclude_none=True)


def _limits(settings: Settings) -> DecodingLimits:
    return DecodingLimits(
        image=Limits(max_bytes=settings.max_image_bytes, max_pixels=settings.max_image_pixels),
        seconds=settings.decode_timeout_s,
        memory_bytes=settings.decode_memory_bytes,
    )
