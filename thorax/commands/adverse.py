"""`thorax adverse`: report that an answer did harm, or nearly, and look at what was reported."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from thorax.console import emit

if TYPE_CHECKING:
    from audit.feedback import Said

app = typer.Typer(help="Adverse results: report one, look at them.", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
Severity = Literal["no_harm", "near_miss", "harm"]
Category = Literal["missed_finding", "false_alarm", "wrong_image", "no_answer", "other"]
Role = Literal["adjudicator", "radiologist", "resident", "report"]


@app.command()
def report(
    request_id: Annotated[str, typer.Argument(help="Of the answer that it is about.")],
    severity: Annotated[Severity, typer.Option(help="`harm` holds the model: every answer is referred.")],
    category: Annotated[Category, typer.Option(help="What went wrong.")],
    description: Annotated[str, typer.Option(help="In words, without anything of the patient.")] = "",
    reader_role: Annotated[Role, typer.Option(help="Who noticed it.")] = "radiologist",
    report_id: Annotated[str, typer.Option("--id", help="Your own number of it; made where absent.")] = "",
    as_json: Json = False,
) -> None:
    """Report an adverse result; whoever has to know is told by the channels of `thorax notify`."""
    import uuid

    from imaging.settings import Settings
    from serving.feedback.desk import Desk
    from serving.feedback.messages import Adverse
    from thorax.commands.feedback import checked

    settings = Settings()
    own = report_id or f"adverse-{uuid.uuid4().hex[:12]}"
    given = checked(
        Adverse,
        {
            "report_id": own,
            "request_id": request_id,
            "severity": severity,
            "category": category,
            "reader_role": reader_role,
            "time": datetime.now(UTC),
            "description": description,
        },
    )
    done, held = Desk(settings.home).take_adverse(given, client=settings.actor or "person")
    text = f"{own} is {done}; " + ("the model is on hold: every answer is referred" if held else "the model goes on")
    emit({"report_id": own, "outcome": done, "on_hold": held}, as_json=as_json, text=text)


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List what was reported, without what was written."""
    rows = [_told(one) for one in _rows()]
    lines = [
        f"{row['id']}  {row['received'][:19]}  {row['severity']}, {row['category']}, {row['request_id']}"
        for row in rows
    ]
    emit(rows, as_json=as_json, text="\n".join(lines) or "no adverse result was reported")


@app.command()
def show(report_id: Annotated[str, typer.Argument(help="Of the report.")], as_json: Json = False) -> None:
    """Show one report with what was written."""
    from imaging.errors import NotFoundError

    found = next((one for one in _rows() if one.id == report_id), None)
    if found is None:
        raise NotFoundError(f"no adverse report {report_id!r}; `thorax adverse list` names them")
    told = {**_told(found), "description": found.content.get("description", "")}
    emit(told, as_json=as_json, text="\n".join(f"{name:12} {value}" for name, value in told.items()))


def _rows() -> "list[Said]":
    from audit.feedback import FeedbackStore
    from imaging.settings import Settings

    return FeedbackStore.of(Settings().home).rows("adverse")


def _told(one: "Said") -> dict[str, Any]:
    fixed = {"id": one.id, "request_id": one.request_id, "received": one.received, "client": one.client}
    return {**fixed, **{name: one.content.get(name, "") for name in ("severity", "category", "reader_role", "time")}}
