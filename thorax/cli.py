"""The `thorax` command: a table of command groups, and the one place where errors become exit codes.

Exit status: 0 done, 1 failed, 2 misused. Heavy imports live inside the commands, so `--help` stays quick.
"""

import sys
from collections.abc import Callable
from typing import Any

import typer

from thorax.commands import (
    adverse,
    audit,
    capacity,
    clients,
    data,
    demo,
    evaluate,
    explain,
    feedback,
    infra,
    models,
    monitor,
    notify,
    pipelines,
    predict,
    recipes,
    release,
    retrain,
    serve,
    stack,
    train,
    tune,
)

app = typer.Typer(
    name="thorax",
    help="Train, gate, approve, serve, watch and record chest X-ray classifiers.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

GROUPS = {
    "data": data.app,
    "recipes": recipes.app,
    "pipelines": pipelines.app,
    "models": models.app,
    "release": release.app,
    "serve": serve.app,
    "clients": clients.app,
    "explain": explain.app,
    "monitor": monitor.app,
    "retrain": retrain.app,
    "feedback": feedback.app,
    "adverse": adverse.app,
    "notify": notify.app,
    "audit": audit.app,
    "infra": infra.app,
    "capacity": capacity.app,
}
COMMANDS: dict[str, Callable[..., Any]] = {
    **stack.COMMANDS,
    "train": train.train,
    "tune": tune.tune,
    "evaluate": evaluate.evaluate,
    "predict": predict.predict,
    "demo": demo.demo,
}

for _name, _group in GROUPS.items():
    app.add_typer(_group, name=_name)
for _name, _command in COMMANDS.items():
    app.command(_name)(_command)


def main() -> None:
    """Run the command line; print a coded error instead of a traceback for what a user can act on."""
    try:
        app()
    except Exception as error:
        code = getattr(error, "code", None)
        if not isinstance(code, str):
            raise
        sys.stderr.write(f"error[{code}]: {error}\n")
        sys.exit(1)
