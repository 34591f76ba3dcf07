"""One signed-in conversation with MLflow: its variables, its time limits, its errors in our words."""

import contextlib
import os
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

from imaging.errors import ConfigurationError, NotFoundError, ReleaseRefusedError, ServiceError
from imaging.settings import Settings

if TYPE_CHECKING:
    from mlflow import MlflowClient

MODEL_NAME = "chest-xray"
"""The registered model that is served; models of other names are kept and compared, and never served."""

_ABSENT = {"RESOURCE_DOES_NOT_EXIST", "NOT_FOUND"}
_REFUSED = {"PERMISSION_DENIED", "UNAUTHENTICATED"}

_one_at_a_time = threading.RLock()  # MLflow reads its credentials from the environment at every call


@contextlib.contextmanager
def signed_in(settings: Settings) -> Iterator["MlflowClient"]:
    """Yield a client that acts as the user in `settings`; its failures come out as `ThoraxError`s.

    Raises:
        ConfigurationError: if no registry address is set.
        NotFoundError: for a version, alias or file that MLflow does not have.
        ReleaseRefusedError: for what this user may not do.
        ServiceError: if MLflow does not answer or fails.
    """
    if not settings.mlflow_uri:
        raise ConfigurationError(
            "expected the registry's address in THORAX_MLFLOW_URI, got none; `thorax up` starts one"
        )
    with _one_at_a_time, _environment(_variables(settings)):
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException
        from requests.exceptions import RequestException

        try:
            yield MlflowClient(tracking_uri=settings.mlflow_uri, registry_uri=settings.mlflow_uri)
        except MlflowException as error:
            raise _translated(error.error_code, str(error.message)) from error
        except (RequestException, OSError) as error:
            raise ServiceError(f"the registry at {settings.mlflow_uri} does not answer: {error}") from error


def _variables(settings: Settings) -> dict[str, str]:
    """Return MLflow's variables for this user, quiet and with limits."""
    variables = {
        "MLFLOW_HTTP_REQUEST_TIMEOUT": str(max(1, round(settings.http_timeout_s))),
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
        "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "1",
    }
    if settings.mlflow_username:
        variables["MLFLOW_TRACKING_USERNAME"] = settings.mlflow_username
        variables["MLFLOW_TRACKING_PASSWORD"] = settings.mlflow_password.get_secret_value()
    return variables


@contextlib.contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    """Set `variables` for the block only."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _translated(code: str, message: str) -> Exception:
    """Return MLflow's error in our tree."""
    if code in _ABSENT:
        return NotFoundError(message)
    if code in _REFUSED or "error code 403" in message or "error code 401" in message:
        return ReleaseRefusedError(f"the registry refuses this user: {message}")
    return ServiceError(f"the registry fails: {message}")
