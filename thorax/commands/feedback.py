"""`thorax feedback`: labels that people give after the answer, one by one or as a table of a reporting system."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from thorax.console import emit

if TYPE_CHECKING:
    from pydantic import BaseModel

app = typer.Typer(help="Labels after the answer: give one, take a table of them.", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
Role = Literal["adjudicator", "radiologist", "resident", "report"]


@app.command()
def give(
    request_id: Annotated[str, typer.Argument(help="Of the answer.")],
    label: Annotated[str, typer.Option(help="The class that the image shows.")],
    verdict: Annotated[Literal["confirmed", "corrected"], typer.Option(help="Of the model's answer.")],
    reader_role: Annotated[Role, typer.Option(help="Who read the image.")] = "radiologist",
    corrects: Annotated[str, typer.Option(help="An earlier feedback that this one takes the place of.")] = "",
    feedback_id: Annotated[str, typer.Option("--id", help="Your own number of it; made where absent.")] = "",
    as_json: Json = False,
) -> None:
    """Keep one label."""
    import uuid

    from imaging.settings import Settings
    from serving.feedback.desk import Desk
    from serving.feedback.messages import Feedback

    own = feedback_id or f"feedback-{uuid.uuid4().hex[:12]}"
    fields = {"label": label, "verdict": verdict, "reader_role": reader_role, "time": datetime.now(UTC)}
    given = checked(Feedback, {"feedback_id": own, "request_id": request_id, "corrects": corrects or None, **fields})
    done = Desk(Settings().home).take_feedback(given, client=Settings().actor or "person")
    emit({"feedback_id": own, "outcome": done}, as_json=as_json, text=f"{own} is {done}")


@app.command("import")
def import_(
    table: Annotated[Path, typer.Argument(help="CSV with feedback_id, request_id, label, verdict, reader_role, time.")],
    as_json: Json = False,
) -> None:
    """Keep a table of labels; may be run again with the same table. A row that cannot be is told, and the rest kept."""
    import csv

    from imaging.errors import ConfigurationError, ThoraxError
    from imaging.settings import Settings
    from serving.feedback.desk import Desk
    from serving.feedback.messages import Feedback

    settings = Settings()
    desk, counts, problems = Desk(settings.home), {"recorded": 0, "known": 0}, []
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigurationError(f"{table.name} is no readable CSV ({type(error).__name__})") from error
    for number, row in enumerate(rows, start=2):
        try:
            fields = {name: value for name, value in row.items() if name and value}
            counts[desk.take_feedback(checked(Feedback, fields), client=settings.actor or "person")] += 1
        except ThoraxError as error:
            problems.append(f"line {number}: {error}")
    told = {**counts, "refused": len(problems), "problems": problems[:100]}
    summary = f"{counts['recorded']} labels kept, {counts['known']} known before, {len(problems)} refused"
    emit(told, as_json=as_json, text="\n".join([summary, *problems[:20]]))
    if problems:
        raise typer.Exit(1)


def checked(kind: "type[BaseModel]", fields: dict[str, Any]) -> Any:
    """Return a message of these fields.

    Raises:
        ConfigurationError: a field cannot be; the message names it, never what was in it.
    """
    from pydantic import ValidationError

    from imaging.errors import ConfigurationError

    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()[:5])
        raise ConfigurationError(wrong) from error
