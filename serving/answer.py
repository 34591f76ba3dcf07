"""The answer of `POST /predictions/chest-xray`, as the server writes it and the client reads it."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

ADVISORY = "Decision support only; a physician must confirm."

Explain = Literal["none", "grad-cam", "grad-cam++"]
Stage = Literal["champion", "canary", "shadow"]


class Part(BaseModel):
    """Immutable; a newer server's unknown fields are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class ModelIdentity(Part):
    """Which model answered."""

    name: str
    version: str
    digest: str
    stage: Stage
    runtime: str = ""
    """What ran it, such as `onnxruntime-fp32`; empty from a server of an earlier release."""


class Uncertainty(Part):
    """Spread of the calibrated probabilities, and of the answers of thinned heads."""

    entropy_nats: float
    mutual_information_nats: float | None = None
    """Absent where the model's head has no dropout to thin it by."""


class Triage(Part):
    """Whether a report may lean on the answer, and why not."""

    decision: Literal["report", "refer"]
    reasons: tuple[str, ...]


class ImageFacts(Part):
    """What was read from the bytes; nothing about the patient."""

    sha256: str
    rows: int
    columns: int
    modality: str
    view: str
    warnings: tuple[str, ...]


class Explanation(Part):
    """The image with its heat map, as a PNG."""

    method: Explain
    target: str
    png_base64: str


class Answer(Part):
    """One classified image. Probabilities are calibrated and sum to 1 (1e-6)."""

    request_id: str
    model: ModelIdentity
    prediction: str
    probabilities: dict[str, float]
    prediction_set: tuple[str, ...] | None = None
    """The classes that cannot be ruled out at the model's level; absent where it has no conformal rule."""
    uncertainty: Uncertainty
    triage: Triage
    image: ImageFacts
    explanation: Explanation | None = None
    advisory: str = ADVISORY


class Refusal(Part):
    """One request that got no prediction; `status` travels as the HTTP status, not in the body."""

    code: str
    detail: str
    request_id: str
