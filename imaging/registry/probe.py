"""Who is champion, asked over plain HTTP: a tenth of the time that loading MLflow's client takes.

Also the question a pipeline asks before it starts: is the registry there, and are we known to it?
"""

from typing import Any

import httpx

from imaging.errors import ServiceError
from imaging.registry.session import MODEL_NAME
from imaging.settings import Settings

_NOT_SET = {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}


def champion_version(settings: Settings, model: str = MODEL_NAME) -> str:
    """Return the version number of `model`'s champion, or "" where nobody is champion.

    Raises:
        ServiceError: if MLflow is not there, does not answer in time or does not know us.
    """
    address = settings.mlflow_uri
    if not address.startswith(("http://", "https://")):
        raise ServiceError(f"expected a registry server, got {address or 'no address'!r}; run `thorax up` first")
    answer = _ask(settings, "alias", {"name": model, "alias": "champion"})
    if answer.status_code == httpx.codes.FORBIDDEN:  # MLflow says so of the alias of a model that is not there yet
        known = _ask(settings, "get", {"name": model})
        if known.status_code == httpx.codes.NOT_FOUND and _body(known).get("error_code") in _NOT_SET:
            return ""
    return _version(answer, address)


def _ask(settings: Settings, what: str, params: dict[str, str]) -> httpx.Response:
    address = settings.mlflow_uri
    user = (settings.mlflow_username, settings.mlflow_password.get_secret_value())
    try:
        return httpx.get(
            f"{address.rstrip('/')}/api/2.0/mlflow/registered-models/{what}",
            params=params,
            auth=user if user[0] else None,
            timeout=settings.http_timeout_s,
        )
    except httpx.HTTPError as error:
        raise ServiceError(f"the registry at {address} does not answer ({error}); run `thorax up` first") from error


def _body(answer: httpx.Response) -> dict[str, Any]:
    """Return the answer's JSON object; empty where it is none, as `Permission denied` is."""
    try:
        body = answer.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _version(answer: httpx.Response, address: str) -> str:
    body = _body(answer)
    if answer.status_code == httpx.codes.OK and "model_version" in body:
        return str(body["model_version"]["version"])
    if body.get("error_code") in _NOT_SET:
        return ""
    if answer.status_code in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
        raise ServiceError(f"the registry at {address} does not accept these credentials (HTTP {answer.status_code})")
    raise ServiceError(f"expected a version or none from the registry at {address}, got HTTP {answer.status_code}")
