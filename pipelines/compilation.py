"""Pipelines as KFP packages (YAML), and as what the one-machine runner takes."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from kfp import compiler, components

from imaging.errors import ConfigurationError, NotFoundError
from imaging.recipes import changed_recipe
from pipelines import PIPELINES


def compile_pipeline(name: str, out: Path) -> Path:
    """Write the named pipeline's package to `out`, cluster needs included.

    Raises:
        NotFoundError: for a name that is not in `PIPELINES`.
    """
    return compile_function(find_pipeline(name), out)


def find_pipeline(name: str) -> Any:
    """Return the pipeline of that name.

    Raises:
        NotFoundError: if there is none; the message lists what there is.
    """
    if name not in PIPELINES:
        raise NotFoundError(f"no pipeline {name!r}; there are: {', '.join(PIPELINES)}")
    return PIPELINES[name]


def compile_function(pipeline: Any, out: Path) -> Path:
    """Write any pipeline's package to `out`."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compiler.Compiler().compile(pipeline, str(out))
    return out


def one_machine(package: Path) -> Any:
    """Return the compiled pipeline as a callable for this machine.

    What only a cluster can give is left out, and so are retries: a step that failed here would fail again,
    and a rerun reuses all that was finished.
    """
    specification = next(yaml.safe_load_all(package.read_text()))
    for executor in specification["deploymentSpec"]["executors"].values():
        executor.get("container", {}).pop("resources", None)
    for scope in (specification["root"], *specification["components"].values()):
        for task in scope.get("dag", {}).get("tasks", {}).values():
            task.pop("retryPolicy", None)
    return components.load_component_from_text(yaml.safe_dump(specification, sort_keys=False))


def parameters(pipeline: Any) -> dict[str, bool]:
    """Return the pipeline's parameters, each with whether it must be given."""
    inputs = pipeline.component_spec.inputs or {}
    return {name: not specification.optional for name, specification in inputs.items()}


def check_arguments(pipeline: Any, arguments: Mapping[str, Any]) -> None:
    """Refuse unknown and missing arguments, and a recipe that cannot be, before anything starts.

    Raises:
        ConfigurationError: naming the first such argument and what there is.
        NotFoundError: for an unknown recipe.
    """
    known = parameters(pipeline)
    for name in arguments:
        if name not in known:
            raise ConfigurationError(f"no parameter {name!r} of {pipeline.name}; there are: {', '.join(known)}")
    for name, required in known.items():
        if required and name not in arguments:
            raise ConfigurationError(f"expected a value for {name!r} of {pipeline.name}, got none")
    _refuse_none("", arguments)
    if {"recipe", "overrides"} <= known.keys():
        changed_recipe(arguments["recipe"], arguments.get("overrides", {}))


def _refuse_none(name: str, value: Any) -> None:
    """KFP can carry no null, also not inside a dict; it would fail in the middle of a run."""
    if value is None:
        raise ConfigurationError(f"expected a value that a pipeline can carry for {name.removeprefix('.')!r}, got none")
    inner = (
        value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, (list, tuple)) else ()
    )
    for key, item in inner:
        _refuse_none(f"{name}.{key}", item)
