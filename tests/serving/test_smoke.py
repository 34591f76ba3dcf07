"""The smoke test against a TorchServe that is there and a model that is not well."""

import json
from pathlib import Path

import httpx
import pytest
from PIL import Image

from serving.client import ChestXrayClient
from serving.errors import AccessDeniedError, SmokeTestError
from serving.smoke import smoke_test


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
