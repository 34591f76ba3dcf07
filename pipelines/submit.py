"""Hand a pipeline to a Kubeflow Pipelines server."""

import contextlib
import io
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from imaging.errors import ServiceError
from pipelines import fingerprints
from pipelines.compilation import check_arguments, compile_function, find_pipeline, parameters
from pipelines.gpus import choose
from pipelines.schedule import cron_of, keep_for

EXPERIMENT = "thorax"


@dataclass(frozen=True, kw_only=True, slots=True)
class SubmittedRun:
    """A run that the server accepted, or with `every` one that it will begin again and again."""

    run_id: str
    url: str


def submit(
    name: str,
    arguments: Mapping[str, Any],
    *,
    host: str,
    token: str = "",
    namespace: str = "",
    service_account: str = "",
    gpu: str = "",
    gpus: int = 1,
    every: str = "",
    keep_days: int = 0,
    timeout_s: float = 30.0,
) -> SubmittedRun:
    """Submit the named pipeline to the KFP API at `host`.

    Args:
        name: A pipeline's.
        arguments: Its parameters.
        host: Address of the API.
        token: Bearer token.
        namespace: Of a multi-user server.
        service_account: That the steps run as.
        gpu: A profile of `pipelines.gpus`; any GPU where empty.
        gpus: How many, for each step that takes one.
        every: When it runs again, as `minute hour day month weekday` in UTC; once and now where empty. Nothing of an
            earlier run is reused: its images, its champion and its weights are of another day.
        keep_days: How long after its end the cluster keeps a run's pods; the server's own rule where 0.
        timeout_s: Of each call.

    Raises:
        NotFoundError: for an unknown pipeline or profile.
        ConfigurationError: for an unknown or missing parameter.
        ServiceError: if the server does not answer in time or refuses.
    """
    pipeline = find_pipeline(name)
    check_arguments(pipeline, arguments)
    cron = cron_of(every) if every else ""
    keys = {name: value for name, value in _keys().items() if name in parameters(pipeline) and not arguments.get(name)}
    _check_reachable(host, token, timeout_s)
    with tempfile.TemporaryDirectory() as scratch, _server_errors(host):
        package = compile_function(pipeline, Path(scratch) / "pipeline.yaml")
        if gpu:
            choose(package, gpu, gpus)
        if keep_days:
            keep_for(package, keep_days)
        client = _client(host, token, namespace, timeout_s)
        given = {**arguments, **keys}
        if cron:
            where = {"namespace": namespace or None, "account": service_account or None}
            job = _begin_again(client, package, given, cron, title=f"{name}, {every}", **where)
            return SubmittedRun(run_id=job, url=f"{host.rstrip('/')}/#/recurringrun/details/{job}")
        run = client.create_run_from_pipeline_package(
            str(package),
            arguments=given,
            run_name=name,
            experiment_name=EXPERIMENT,
            namespace=namespace or None,
            service_account=service_account or None,
        )
    return SubmittedRun(run_id=run.run_id, url=f"{host.rstrip('/')}/#/runs/details/{run.run_id}")


def _begin_again(
    client: Any,
    package: Path,
    arguments: dict[str, Any],
    cron: str,
    *,
    title: str,
    namespace: str | None,
    account: str | None,
) -> str:
    """Let the server run the package at its times, one run at a time and nothing made up for; return the job's id."""
    experiment = client.create_experiment(EXPERIMENT, namespace=namespace)
    job = client.create_recurring_run(
        experiment.experiment_id,
        title,
        cron_expression=cron,
        max_concurrency=1,
        no_catchup=True,
        params=arguments,
        pipeline_package_path=str(package),
        enable_caching=False,
        service_account=account,
    )
    return str(job.recurring_run_id)


def _keys() -> dict[str, str]:
    """Return what decides, beside the parameters, whether a finished step of the cluster may be reused.

    The cluster's champion, images and weights are not seen from here, so what was made of them before is not reused:
    an evaluation could be of a time without a champion, and would let a worse model pass.
    """
    keys = {name: fingerprints.unseen() for name in ("champion", "source_version", "weights_version")}
    return {**keys, "code_version": fingerprints.code_version()}


def _check_reachable(host: str, token: str, timeout_s: float) -> None:
    """Ask once with a limit: KFP's own client would ask five times without one."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        httpx.get(f"{host.rstrip('/')}/apis/v2beta1/healthz", headers=headers, timeout=timeout_s).raise_for_status()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ServiceError(f"the pipeline server at {host} does not answer: {error}") from error


def _client(host: str, token: str, namespace: str, timeout_s: float) -> Any:
    """Return KFP's client with a limit on each of its calls."""
    import kfp

    client = kfp.Client(host=host, existing_token=token or None, namespace=namespace or "kubeflow")
    rest = client._run_api.api_client.rest_client  # KFP has no public way to set a limit
    ask, limit = rest.request, max(1, round(timeout_s))

    def ask_with_limit(*call: Any, _request_timeout: int | None = None, **rest_of_call: Any) -> Any:
        return ask(*call, _request_timeout=_request_timeout or limit, **rest_of_call)

    rest.request = ask_with_limit
    return client


@contextlib.contextmanager
def _server_errors(host: str) -> Iterator[None]:
    """Say the server's refusals in our words, and nothing of what KFP's client prints."""
    from kfp_server_api.exceptions import OpenApiException
    from urllib3.exceptions import HTTPError

    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except OpenApiException as error:
            reason = getattr(error, "body", "") or error
            raise ServiceError(f"the pipeline server at {host} refuses: {reason}") from error
        except (HTTPError, TimeoutError) as error:
            raise ServiceError(f"the pipeline server at {host} does not answer: {error}") from error
