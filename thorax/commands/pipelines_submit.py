"""`thorax pipelines submit`: hand a pipeline to a cluster, once or again and again, and follow it."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from imaging.errors import ConfigurationError
from thorax.commands.pipeline_arguments import (
    Data,
    DatasetName,
    Json,
    KeepSplit,
    Labels,
    Name,
    Own,
    Recipe,
    Seed,
    Set,
    Trigger,
    arguments_of,
    for_pipeline,
)
from thorax.console import emit, say

if TYPE_CHECKING:
    from pipelines.following import End


def submit(
    pipeline: Name,
    host: Annotated[str, typer.Option(help="Address of the Kubeflow Pipelines API.")],
    recipe: Recipe,
    data: Data,
    labels: Labels = "",
    name: DatasetName = "dataset",
    changes: Set = None,
    trigger: Trigger = "manual",
    keep_split: KeepSplit = False,
    seed: Seed = 0,
    own: Own = None,
    namespace: Annotated[str, typer.Option(help="Kubernetes namespace of a multi-user server.")] = "",
    service_account: Annotated[str, typer.Option(help="Service account the steps run as.")] = "",
    token: Annotated[str, typer.Option(envvar="THORAX_KFP_TOKEN", help="Bearer token.", show_envvar=True)] = "",
    gpu: Annotated[str, typer.Option(help="Kind of GPU: t4, a100, h100, h200; any where absent.")] = "",
    gpus: Annotated[int, typer.Option(help="How many, for each step that takes one.")] = 1,
    every: Annotated[str, typer.Option(help="Run it again at these times (cron, UTC), as '30 3 * * 1'.")] = "",
    keep_days: Annotated[int, typer.Option(min=1, max=3650, help="Keep a run's pods so long after its end.")] = 14,
    wait: Annotated[bool, typer.Option("--wait", help="Follow it to its end; exit 1 where a step fails.")] = False,
    as_json: Json = False,
) -> None:
    """Submit a pipeline to a Kubeflow Pipelines server, once or for certain times."""
    from pipelines.submit import submit as submit_run

    if every and wait:
        raise ConfigurationError("--wait follows one run: it does not go with --every")
    given = arguments_of(recipe, data, labels, name, changes or [], trigger=trigger, keep_split=keep_split, seed=seed)
    where: dict[str, Any] = {"host": host, "token": token, "namespace": namespace, "service_account": service_account}
    how: dict[str, Any] = {"gpu": gpu, "gpus": gpus, "every": every, "keep_days": keep_days}
    run = submit_run(pipeline, for_pipeline(pipeline, given, own or []), **where, **how)
    told = {"run_id": run.run_id, "url": run.url}
    if wait:
        say(run.url)
        end = _followed(run.run_id, host, token)
        told |= {"state": end.state, "failed": end.failed}
    emit(told, as_json=as_json, text=told.get("state", run.url))
    if wait and not end.passed:
        raise typer.Exit(1)


def _followed(run_id: str, host: str, token: str) -> "End":
    """Tell each step's state until the run ends, and then what the failing one wrote."""
    from pipelines.following import follow

    end = follow(run_id, host=host, token=token, on_step=lambda step, state: say(f"{step} {state.lower()}"))
    if end.failed:
        say(f"{end.failed} failed; the end of its log:\n{end.log or '(the server has it no more)'}")
    return end
