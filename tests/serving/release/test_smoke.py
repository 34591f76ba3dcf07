"""The smoke test against a TorchServe that is there and a model that is not well."""

import json
from pathlib import Path

import httpx
import pytest
from PIL import Image

from serving.client import ChestXrayClient
from serving.errors import AccessDeniedError, SmokeTestError
from serving.release.smoke import smoke_test


@pytest.fixture
def package(tmp_path: Path) -> Path:
    Image.new("L", (64, 64)).save(tmp_path / "reference_image.png")
    (tmp_path / "reference_answer.json").write_text(json.dumps({"probabilities": {"normal": 1.0}}))
    return tmp_path


def client_of(status: int, body: dict) -> ChestXrayClient:
    answer = httpx.MockTransport(lambda _: httpx.Response(status, json=body))
    return ChestXrayClient(url="http://127.0.0.1:1", transport=answer, first_pause_s=0.0)


def ask(client: ChestXrayClient, package: Path) -> None:
    smoke_test(client, package, version="2", digest="sha256:x", request_id="smoke-1", token="t")


@pytest.mark.parametrize("status", [500, 503, 507])
def test_a_model_that_gives_no_answer_has_failed_and_is_not_waited_for(status: int, package: Path) -> None:
    with pytest.raises(SmokeTestError, match="no answer"):
        ask(client_of(status, {"code": status, "type": "InternalServerException", "message": "worker died"}), package)


def test_a_token_that_is_not_taken_says_nothing_about_the_model(package: Path) -> None:
    with pytest.raises(AccessDeniedError):
        ask(client_of(401, {"code": 401, "type": "InvalidKeyException", "message": "no"}), package)


def answered(share: float, runtime: str) -> dict:
    return {
        "request_id": "smoke-1",
        "model": {"name": "chest-xray", "version": "2", "digest": "sha256:x", "stage": "champion", "runtime": runtime},
        "prediction": "normal",
        "probabilities": {"normal": share},
        "uncertainty": {"entropy_nats": 0.0},
        "triage": {"decision": "report", "reasons": []},
        "image": {"sha256": "s", "rows": 9, "columns": 9, "modality": "", "view": "", "warnings": []},
    }


@pytest.mark.parametrize(
    ("runtime", "share", "passes"),
    [
        ("torch-fp32", 0.99995, True),
        ("onnxruntime-fp32", 0.97, False),
        ("onnxruntime-int8", 0.97, True),
        ("onnxruntime-int8", 0.95, False),
    ],
)
def test_only_rounded_weights_may_differ_and_by_no_more_than_was_measured_twice(runtime, share, passes, package):
    measured = {"export": {"files": [{"precision": "int8", "largest_difference": 0.02}]}}
    (package / "evaluation.json").write_text(json.dumps(measured))
    if passes:
        assert (
            smoke_test(
                client_of(200, answered(share, runtime)),
                package,
                version="2",
                digest="sha256:x",
                request_id="r",
                token="t",
            )
            is None
        )
    else:
        with pytest.raises(SmokeTestError, match="differ"):
            ask(client_of(200, answered(share, runtime)), package)


def test_rounded_weights_that_nobody_measured_may_not_differ(package):
    with pytest.raises(SmokeTestError, match="differ"):
        ask(client_of(200, answered(0.97, "onnxruntime-int8")), package)
