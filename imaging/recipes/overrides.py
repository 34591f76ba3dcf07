"""`--set field=value`: what a run may change of its recipe, from text to a validated config.

A field inside another is named with dots, a stage by its number: `input.size=64`, `stages.0.epochs=1`.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from imaging.config import TrainConfig
from imaging.errors import ConfigurationError

FIXED = {
    "floors": "gates would be passed by asking for less",
    "name": "a model says by it which recipe made it",
}
"""Fields that a run may not change, and why; they change with a recipe, by a commit."""


def parse_overrides(texts: Iterable[str]) -> dict[str, Any]:
    """Read `field=value` texts; the value is JSON or, where it is not, text. A later one replaces an earlier one.

    Raises:
        ConfigurationError: for a text without a field or without `=`.
    """
    return dict(_parse(text) for text in texts)


def _parse(text: str) -> tuple[str, Any]:
    field, separator, value = text.partition("=")
    if not separator or not field:
        raise ConfigurationError(f"expected key=value after --set, got {text!r}")
    try:
        return field, json.loads(value)
    except json.JSONDecodeError:
        return field, value


def apply_overrides(config: TrainConfig, overrides: Mapping[str, Any]) -> TrainConfig:
    """Return `config` with fields changed for one run.

    Args:
        config: A recipe's.
        overrides: Fields, with dots for those inside others, and their new values; a value given for a whole part
            (`input`, a stage) replaces all of it.

    Raises:
        ConfigurationError: for a field that is unknown, out of range, or not a run's to change.
    """
    changed = config.model_dump(mode="json")
    # a whole part before the fields inside it, in whatever order they came
    for field, value in sorted(overrides.items(), key=lambda item: item[0].count(".")):
        first = field.partition(".")[0]
        if first in FIXED:
            raise _refused(
                config, f"{first} is not a run's to set, {FIXED[first]}; write a recipe of its own in imaging.recipes"
            )
        _place(config, changed, field, value)
    try:
        return type(config).model_validate(changed)
    except ValidationError as error:
        what = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg'].lower()}" for e in error.errors())
        raise _refused(config, what) from error


def _place(config: TrainConfig, changed: Any, field: str, value: Any) -> None:
    """Put `value` at the dotted `field` of nested dicts and lists."""
    *way, last = field.split(".")
    for done, name in enumerate(way):
        changed = changed[_key(config, changed, name, field, done)]
    changed[_key(config, changed, last, field, len(way))] = value


def _key(config: TrainConfig, part: Any, name: str, field: str, done: int) -> str | int:
    """Return the key or index that `name` is in `part` of the config."""
    if isinstance(part, dict) and name in part:
        return name
    if isinstance(part, list) and name.isdecimal() and int(name) < len(part):
        return int(name)
    where = ".".join(field.split(".")[:done]) or "a recipe"
    if isinstance(part, dict):
        raise _refused(config, f"{field}: no field {name!r} in {where}; there are: {', '.join(part)}")
    if isinstance(part, list):
        raise _refused(config, f"{field}: no number {name!r} in {where}; there are: 0 to {len(part) - 1}")
    raise _refused(config, f"{field}: {where} is a value and has no fields")


def _refused(config: TrainConfig, what: str) -> ConfigurationError:
    return ConfigurationError(f"the recipe {config.name!r} cannot be changed so: {what}")
