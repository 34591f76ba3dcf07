"""The smoke test: a loaded model must answer its reference image as it did when it was packaged."""

import json
from pathlib import Path

from imaging.errors import ServiceError
from serving.client import ChestXrayClient
from serving.errors import AccessDeniedError, RefusedError, SmokeTestError

TOLERANCE = 1e-4
ROUNDED = ("int8",)
MARGIN = 2.0


def smoke_test(
    client: ChestXrayClient, package: Path, *, version: str, digest: str, request_id: str, token: str
) -> None:
    """Ask one loaded version about its reference image.

    Args:
        client: Of the TorchServe that loaded it.
        package: The verified model directory, with `reference_image.png` and `reference_answer.json`.
        version: The loaded version, which need not be the default one.
        digest: The package's digest, which the answer must carry.
        request_id: Marks the request in the prediction log.
        token: Of the release gate, for the version answers nobody else yet.

    Raises:
        SmokeTestError: there is no reference, the answer is another one, or the loaded model gives none.
        AccessDeniedError: the token is not taken, which says nothing about the model.
    """
    expected = _reference(package)
    try:
        image = package / "reference_image.png"
        answer = client.predict(image, version=version, request_id=request_id, smoke_token=token)
    except RefusedError as error:
        raise SmokeTestError(f"the reference image was refused: {error.code}") from error
    except AccessDeniedError:
        raise
    except ServiceError as error:
        raise SmokeTestError(f"it was loaded and gave no answer to the reference image: {error}") from error
    if answer.model.version != version or answer.model.digest != digest:
        raise SmokeTestError(f"version {answer.model.version} answered in the place of {version}")
    if set(answer.probabilities) != set(expected):
        raise SmokeTestError("the answer has other classes than the reference answer")
    worst = max(abs(answer.probabilities[name] - expected[name]) for name in expected)
    allowed = _allowed(package, answer.model.runtime)
    if not worst <= allowed:
        raise SmokeTestError(f"probabilities differ from the reference answer by {worst:.2g}; at most {allowed:.2g}")


def _allowed(package: Path, runtime: str) -> float:
    """Return the largest difference: of a rounded export twice what the evaluation found over its images."""
    precision = runtime.removeprefix("onnxruntime-")
    if precision not in ROUNDED:
        return TOLERANCE
    try:
        files = json.loads((package / "evaluation.json").read_text(encoding="utf-8"))["export"]["files"]
        measured = next(float(one["largest_difference"]) for one in files if one["precision"] == precision)
    except (OSError, ValueError, KeyError, TypeError, StopIteration):
        return TOLERANCE
    return max(TOLERANCE, MARGIN * measured)


def _reference(package: Path) -> dict[str, float]:
    if not (package / "reference_image.png").is_file():
        raise SmokeTestError("the package has no reference_image.png")
    try:
        answer = json.loads((package / "reference_answer.json").read_text(encoding="utf-8"))
        return {str(name): float(p) for name, p in answer["probabilities"].items()}
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise SmokeTestError("the package has no reference_answer.json with probabilities") from error
