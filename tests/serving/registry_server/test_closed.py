"""Paths of MLflow that nobody reaches."""

import asyncio
import json

import pytest

from serving.registry_server.closed import closing, is_closed


@pytest.mark.parametrize(
    "path",
    [
        "/ajax-api/3.0/mlflow/assistant/message",
        "//ajax-api//3.0/mlflow/assistant/message",
        "/AJAX-API/3.0/mlflow/Assistant/config",
        "/api/2.0/mlflow/webhooks",
        "/gateway/proxy/x/y",
        "/ajax-api/3.0/jobs/",
    ],
)
def test_a_closed_path_is_answered_before_mlflow_sees_it(path):
    async def mlflow(scope, receive, send):
        raise AssertionError("reached")

    sent = []

    async def keep(message):
        sent.append(message)

    asyncio.run(closing(mlflow)({"type": "http", "path": path}, mlflow, keep))
    assert sent[0]["status"] == 404
    assert json.loads(sent[1]["body"])["error_code"] == "ENDPOINT_NOT_FOUND"


@pytest.mark.parametrize(
    "path",
    ["/", "/api/2.0/mlflow/registered-models/alias", "/api/2.0/mlflow-artifacts/artifacts/gateway/demo", "/version"],
)
def test_the_registry_and_its_artifacts_stay_open(path):
    assert not is_closed(path)
