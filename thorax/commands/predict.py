"""`thorax predict`: ask the running service about image files."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from thorax.console import emit, progress, say

if TYPE_CHECKING:
    from rich.table import Table

    from serving.answer import Answer
    from serving.client import ChestXrayClient

Files = Annotated[list[Path], typer.Argument(help="DICOM, PNG or JPEG files.", exists=True, dir_okay=False)]
ExplainBy = Annotated[Literal["none", "grad-cam", "grad-cam++"], typer.Option(help="Which heat map to draw.")]
Overlay = Annotated[Path | None, typer.Option(help="Where to write the heat map over the image, for one file.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
ServerUrl = Annotated[str, typer.Option(help="Another inference address than the running stack's.")]


@dataclass(frozen=True, slots=True)
class Outcome:
    """One file's answer or refusal."""

    file: Path
    answer: "Answer | None"
    refusal: dict[str, Any] | None

    def to_json(self) -> dict[str, Any]:
        """The server's own JSON, under the file's name."""
        body = self.answer.model_dump(exclude_none=True) if self.answer else self.refusal
        return {"file": str(self.file), **(body or {})}


def predict(
    files: Files,
    explain: ExplainBy = "none",
    overlay: Overlay = None,
    as_json: Json = False,
    server_url: ServerUrl = "",
) -> None:
    """Classify images; exit 1 when any of them was refused."""
    if overlay is not None and len(files) != 1:
        raise typer.BadParameter("--overlay takes one image at a time")
    method = "grad-cam++" if overlay is not None and explain == "none" else explain
    client = _client(server_url)
    with progress() as bar:
        outcomes = [_ask(client, file, method) for file in bar.track(files, description="asking")]
    emit([outcome.to_json() for outcome in outcomes], as_json=as_json, text=_table(outcomes))
    if overlay is not None and outcomes[0].answer and outcomes[0].answer.explanation:
        from imaging.atomic import write_bytes

        write_bytes(overlay, base64.b64decode(outcomes[0].answer.explanation.png_base64))
        say(f"heat map of {outcomes[0].answer.prediction} written to {overlay}")
    if any(outcome.refusal for outcome in outcomes):
        raise typer.Exit(1)


def _client(server_url: str) -> "ChestXrayClient":
    """Talk to this home's stack; without one, to what the environment or `--server-url` names."""
    from imaging.errors import ServiceError
    from imaging.settings import Settings
    from serving.client import ChestXrayClient
    from thorax.stack.environment import settings_for

    settings = Settings()
    try:
        settings = settings_for(settings.home, "trainer")
    except ServiceError:
        if not server_url and not settings.serving_url:
            raise
    if server_url:
        settings = settings.model_copy(update={"serving_url": server_url})
    return ChestXrayClient.from_settings(settings)


def _ask(client: "ChestXrayClient", file: Path, method: Any) -> Outcome:
    from serving.errors import RefusedError

    try:
        return Outcome(file, client.predict(file, explain=method), None)
    except RefusedError as error:
        return Outcome(file, None, {"code": error.code, "detail": str(error), "request_id": error.request_id})


def _table(outcomes: Sequence[Outcome]) -> "Table":
    from rich.table import Table

    classes = list(next((o.answer.probabilities for o in outcomes if o.answer), {}))
    table = Table("file", "prediction", *classes, "triage", "why", box=None, pad_edge=False)
    for outcome in outcomes:
        answer, refusal = outcome.answer, outcome.refusal or {}
        if answer is None:
            why = f"{refusal.get('code')}: {refusal.get('detail')}"
            table.add_row(outcome.file.name, "refused", *("" for _ in classes), "", why)
            continue
        scores = [f"{answer.probabilities.get(name, 0.0):.2f}" for name in classes]
        why = ", ".join(answer.triage.reasons)
        table.add_row(outcome.file.name, answer.prediction, *scores, answer.triage.decision, why)
    models = {f"chest-xray version {o.answer.model.version}" for o in outcomes if o.answer}
    if models:
        table.caption = f"{', '.join(sorted(models))}. {next(o.answer.advisory for o in outcomes if o.answer)}"
    return table
