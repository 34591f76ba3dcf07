"""Reads a batch of requests: decode, predict, explain, and one row of the prediction log for each.

No protocol here: the handler turns a `Reading` into HTTP. A request that fails fails alone.
"""

import base64
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Protocol

import numpy as np

from imaging.data.statistics import image_statistics
from imaging.errors import InvalidImageError, ServiceError, ThoraxError
from imaging.explain import overlay_png
from imaging.inference import Prediction, Predictor
from serving.answer import Answer, Explain, Explanation, ImageFacts, ModelIdentity, Refusal, Stage, Triage, Uncertainty
from serving.decoding.square import DecodedSquare, Encoded
from serving.meter import Meter, Taken
from serving.reading import Reading
from serving.release.hold import REASON as ON_HOLD
from serving.request import Request

logger = logging.getLogger(__name__)


class Spool(Protocol):
    """Where the rows of the prediction log go."""

    def append(self, row: dict[str, Any]) -> bool:
        """Keep one row; never raise."""
        ...


class Decoder(Protocol):
    """Who turns files into squares: `serving.decoding.decoders.Decoders`."""

    def decode(self, images: Sequence[Encoded], size: int) -> list[DecodedSquare | InvalidImageError | ServiceError]:
        """Return the square of each file, or why there is none; never raise."""
        ...


@dataclass(kw_only=True, slots=True)
class Case:
    """One request on its way through a batch: in the end it has an answer or an error."""

    request_id: str
    request: Request | None = None
    picture: DecodedSquare | None = None
    statistics: dict[str, float] = field(default_factory=dict)
    novelty: float | None = None
    embedding: tuple[float, ...] = ()
    answer: Answer | None = None
    error: ThoraxError | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Reader:
    """A loaded model with the record of what it answers."""

    predictor: Predictor
    identity: ModelIdentity
    spool: Spool
    decoder: Decoder
    meter: Meter
    held: bool = False
    """Whether every answer is referred (`serving.release.hold`)."""

    def at(self, stage: Stage, *, held: bool = False) -> "Reader":
        """Return this reader where the rollout stands now, and whether the model is held."""
        if (stage, held) == (self.identity.stage, self.held):
            return self
        return replace(self, identity=self.identity.model_copy(update={"stage": stage}), held=held)

    def read(self, cases: Sequence[Case]) -> list[Reading]:
        """Answer the cases in order; those that already carry an error are only recorded."""
        begin = time.perf_counter()
        waiting: dict[Explain, list[tuple[Case, DecodedSquare]]] = {}
        self._decode([case for case in cases if case.error is None])
        decoded = time.perf_counter()
        for case in cases:
            if case.request is not None and case.picture is not None:
                waiting.setdefault(case.request.explain, []).append((case, case.picture))
        for method, some in waiting.items():
            self._predict(some, method)
        end = time.perf_counter()
        logged = [self.spool.append(self._row(case, (end - begin) * 1000)) for case in cases]
        readings = [self._finish(case) for case in cases]
        taken = Taken(
            decode=decoded - begin, predict=end - decoded, all=end - begin, rows_not_logged=logged.count(False)
        )
        self.meter.measure(readings, taken)
        return readings

    def _decode(self, cases: Sequence[Case]) -> None:
        """Decode the images of these cases at the same time."""
        asked = [(case, case.request) for case in cases if case.request is not None]
        files = [
            Encoded(data=request.image, media_type=request.media_type if request.media_type != "other" else None)
            for _, request in asked
        ]
        outcomes = self.decoder.decode(files, self.predictor.info.packed_size)
        for (case, _), outcome in zip(asked, outcomes, strict=True):
            if isinstance(outcome, DecodedSquare):
                case.picture = outcome
            else:
                case.error = outcome

    def _predict(self, waiting: list[tuple[Case, DecodedSquare]], method: Explain) -> None:
        """Predict the images at once; where that fails, each alone, so that only the guilty one is refused."""
        try:
            self._forward(waiting, method)
        except Exception as error:  # the border to the network: out of memory, a driver's fault
            logger.warning("predicting %d images raised %s", len(waiting), type(error).__name__)
            if len(waiting) == 1:
                waiting[0][0].error = ServiceError("the model could not answer this request; try again")
                return
            for one in waiting:
                self._predict([one], method)

    def _forward(self, waiting: list[tuple[Case, DecodedSquare]], method: Explain) -> None:
        images = np.stack([picture.pixels for _, picture in waiting])
        statistics = image_statistics(images)
        views = [picture.view for _, picture in waiting]
        warnings = [picture.warnings for _, picture in waiting]
        predictions = self.predictor.predict(images, views=views, warnings=warnings, explain=method)
        for i, ((case, picture), prediction) in enumerate(zip(waiting, predictions, strict=True)):
            case.statistics = {name: float(values[i]) for name, values in statistics.items()}
            case.novelty, case.embedding = prediction.novelty, prediction.embedding
            case.answer = self._compose(case.request_id, picture, prediction, method)

    def _compose(self, request_id: str, image: DecodedSquare, prediction: Prediction, method: Explain) -> Answer:
        return Answer(
            request_id=request_id,
            model=self.identity,
            prediction=prediction.prediction,
            probabilities={name: float(p) for name, p in prediction.probabilities.items()},
            prediction_set=prediction.prediction_set or None,
            uncertainty=Uncertainty(
                entropy_nats=float(prediction.entropy_nats),
                mutual_information_nats=prediction.mutual_information_nats,
            ),
            triage=self._triage(prediction),
            image=ImageFacts(
                sha256=image.sha256,
                rows=image.rows,
                columns=image.columns,
                modality=image.modality,
                view=image.view,
                warnings=image.warnings,
            ),
            explanation=_explanation(image, prediction, method),
        )

    def _triage(self, prediction: Prediction) -> Triage:
        if self.held:
            return Triage(decision="refer", reasons=(*prediction.reasons, ON_HOLD))
        return Triage(decision=prediction.decision, reasons=tuple(prediction.reasons))

    def _finish(self, case: Case) -> Reading:
        if case.answer is not None:
            return Reading(status=200, body=case.answer)
        error = case.error or ServiceError("the request got no answer; try again")
        refusal = Refusal(code=error.code, detail=str(error), request_id=case.request_id)
        return Reading(status=getattr(error, "http_status", 503), body=refusal)

    def _row(self, case: Case, latency_ms: float) -> dict[str, Any]:
        """Contracts section 6: no pixels, nothing of the patient."""
        image = case.picture
        answer = case.answer
        declared = case.request.media_type if case.request else ""
        return {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "request_id": case.request_id,
            "model_version": self.identity.version,
            "model_digest": self.identity.digest,
            "stage": self.identity.stage,
            "image_sha256": image.sha256 if image else "",
            "modality": image.modality if image else "",
            "view": image.view if image else "",
            "rows": image.rows if image else 0,
            "columns": image.columns if image else 0,
            "manufacturer": image.manufacturer if image else "",
            "site": image.site if image else "",
            "statistics": case.statistics,
            "scores": dict(answer.probabilities) if answer else {},
            "prediction": answer.prediction if answer else "",
            "triage": answer.triage.decision if answer else "",
            "reasons": list(answer.triage.reasons) if answer else [],
            "latency_ms": round(latency_ms, 3),
            "refusal_code": None if answer else (case.error.code if case.error else "service_unavailable"),
            "media_type": image.media_type if image else declared,
            **({} if case.novelty is None else {"novelty": round(case.novelty, 4)}),
            **({"embedding": [round(value, 3) for value in case.embedding]} if case.embedding else {}),
        }


def _explanation(picture: DecodedSquare, prediction: Prediction, method: Explain) -> Explanation | None:
    if method == "none" or prediction.heat_map is None:
        return None
    png = overlay_png(picture.pixels, prediction.heat_map)
    return Explanation(method=method, target=prediction.prediction, png_base64=base64.b64encode(png).decode())
