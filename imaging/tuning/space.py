"""What may vary and between which bounds: `stages.0.lr=log(1e-4,1e-1)`, `batch_size=choice(16,32)`, or YAML."""

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imaging.errors import ConfigurationError, NotFoundError
from imaging.recipes import changed_recipe

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

SYNTAX = "log(low,high), uniform(low,high), int(low,high[,step]) or choice(a,b,...)"
METRICS = ("val_loss", "val_accuracy", "val_balanced_accuracy", "val_macro_auroc")
"""What trials may be compared by; the first is better when lower."""
NOT_SEARCHED = {
    "monitor": "trials would be judged by different figures",
    "seed": "the luckiest seed would be chosen",
    "registered_model": "it only names what is trained",
    "subject": "it says what the images show",
}
CHANGES_THE_LOSS = {"loss", "class_weights", "focal_gamma", "label_smoothing", "auxiliary_weight"}
"""Fields under which one trial's `val_loss` may not be another's."""

_TERM = re.compile(r"\s*(?P<kind>[a-z]+)\s*\((?P<inside>.*)\)\s*", re.DOTALL)
_SPACE_FILES = {".yaml", ".yml", ".json"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Real:
    """A number between two bounds, even over its values or, with `log`, over its magnitudes."""

    low: float
    high: float
    log: bool = False

    def at(self, share: float) -> float:
        """Return the value at `share` (0 to 1) of the way."""
        if self.log:
            found = math.exp(math.log(self.low) + share * (math.log(self.high) - math.log(self.low)))
        else:
            found = self.low + share * (self.high - self.low)
        return min(max(found, self.low), self.high)

    def value(self, kept: Any) -> float:
        """Return the value that Optuna keeps as `kept`."""
        return float(kept)

    def distribution(self) -> "BaseDistribution":
        """Return it as Optuna's."""
        from optuna.distributions import FloatDistribution

        return FloatDistribution(self.low, self.high, log=self.log)

    def __str__(self) -> str:
        return f"{'log' if self.log else 'uniform'}({self.low!r},{self.high!r})"


@dataclass(frozen=True, kw_only=True, slots=True)
class Whole:
    """A whole number between two bounds, both included."""

    low: int
    high: int
    step: int = 1

    def at(self, share: float) -> int:
        """Return the value at `share` (0 to 1) of the way."""
        count = (self.high - self.low) // self.step + 1
        return self.low + self.step * min(int(share * count), count - 1)

    def value(self, kept: Any) -> int:
        """Return the value that Optuna keeps as `kept`."""
        return int(kept)

    def distribution(self) -> "BaseDistribution":
        """Return it as Optuna's."""
        from optuna.distributions import IntDistribution

        return IntDistribution(self.low, self.high - (self.high - self.low) % self.step, step=self.step)

    def __str__(self) -> str:
        return f"int({self.low},{self.high}{f',{self.step}' if self.step > 1 else ''})"


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """One of several values, each as JSON: so a list can be one of them."""

    options: tuple[str, ...]

    def at(self, share: float) -> Any:
        """Return the value at `share` (0 to 1) of the way."""
        return json.loads(self.options[min(int(share * len(self.options)), len(self.options) - 1)])

    def value(self, kept: Any) -> Any:
        """Return the value that Optuna keeps as `kept`."""
        return json.loads(kept)

    def distribution(self) -> "BaseDistribution":
        """Return it as Optuna's."""
        from optuna.distributions import CategoricalDistribution

        return CategoricalDistribution(self.options)

    def __str__(self) -> str:
        return f"choice({','.join(self.options)})"


Dimension = Real | Whole | Choice
Space = dict[str, Dimension]


def parse_space(texts: Iterable[str]) -> Space:
    """Read a space from YAML files and `field=term` texts, several of which `;` parts.

    Raises:
        ConfigurationError: for no field, one named twice, a term that is none, or a range that is empty.
        NotFoundError: for a file that is not there.
    """
    fields: list[tuple[str, Any]] = []
    for text in texts:
        fields += _from_file(Path(text)) if Path(text).suffix in _SPACE_FILES else _from_text(text)
    named = [field for field, _ in fields]
    twice = {field for field in named if named.count(field) > 1}
    if twice:
        raise ConfigurationError(f"expected each field of the space once, got {', '.join(sorted(twice))} more often")
    return parse_fields(dict(fields))


def parse_fields(fields: Mapping[str, Any]) -> Space:
    """Read a space from fields and terms (`"log(1e-4,1e-1)"`).

    Raises:
        ConfigurationError: as `parse_space`.
    """
    if not fields:
        raise ConfigurationError(f"expected a space of at least one field, got none; a field is one of {SYNTAX}")
    return {str(field): _term(str(field), term) for field, term in fields.items()}


def check_space(recipe: str, space: Space, *, overrides: Mapping[str, Any], metric: str) -> None:
    """Refuse a space that the recipe cannot be trained in, before anything starts.

    Raises:
        ConfigurationError: for a field that is unknown, not to be searched, set as well, or out of range somewhere.
        NotFoundError: for an unknown recipe.
    """
    if metric not in METRICS:
        raise ConfigurationError(f"no validation figure {metric!r}; there are: {', '.join(METRICS)}")
    changed_recipe(recipe, overrides)
    for field, dimension in space.items():
        first = field.partition(".")[0]
        if first in NOT_SEARCHED:
            raise ConfigurationError(f"{field} cannot be searched: {NOT_SEARCHED[first]}")
        if metric == METRICS[0] and first in CHANGES_THE_LOSS:
            raise ConfigurationError(f"{field} changes what {metric} is; compare trials by {METRICS[3]} (--metric)")
        for other in (*overrides, *(name for name in space if name != field)):
            if f"{other}.".startswith(f"{field}."):
                raise ConfigurationError(f"{field} is searched, and {other} set or searched as well; leave one out")
        for share in (0.0, 0.37, 1.0) if not isinstance(dimension, Choice) else _shares(dimension):
            _check_point(recipe, combined(overrides, {field: dimension.at(share)}))


def point_at(space: Space, shares: Iterable[float]) -> dict[str, Any]:
    """Return one value a field, each at its share (0 to 1) of the way."""
    return {field: dimension.at(share) for (field, dimension), share in zip(space.items(), shares, strict=True)}


def combined(overrides: Mapping[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a trial has changed of its recipe, whole parts before fields inside them.

    In this order the fields hold; a pipeline's parameters do not keep one.
    """
    both = {**overrides, **fields}
    return {name: both[name] for name in sorted(both, key=lambda name: name.count("."))}


def described(space: Space) -> dict[str, str]:
    """Return the space as fields and terms, as `parse_fields` reads them."""
    return {field: str(dimension) for field, dimension in space.items()}


def _shares(choice: Choice) -> list[float]:
    return [(index + 0.5) / len(choice.options) for index in range(len(choice.options))]


def _check_point(recipe: str, changes: Mapping[str, Any]) -> None:
    config = changed_recipe(recipe, changes)
    if any(field.partition(".")[0] in {"architecture", "input"} for field in changes):
        from imaging.models.architectures import check_input_size

        check_input_size(config.architecture, config.input.size)


def _from_file(path: Path) -> list[tuple[str, Any]]:
    import yaml

    if not path.is_file():
        raise NotFoundError(f"no file of a space at {path}")
    try:
        read = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{path.name} is not YAML: {error}") from error
    if not isinstance(read, dict):
        raise ConfigurationError(f"expected `field: term` lines in {path.name}, a term being {SYNTAX}")
    return list(read.items())


def _from_text(text: str) -> list[tuple[str, Any]]:
    found = []
    for part in filter(None, (part.strip() for part in text.split(";"))):
        field, separator, term = part.partition("=")
        if not separator:
            raise ConfigurationError(f"expected field=term or a YAML file, got {part!r}; a term is {SYNTAX}")
        found.append((field.strip(), term))
    return found


def _term(field: str, term: Any) -> Dimension:
    match = _TERM.fullmatch(str(term))
    if not match or match["kind"] not in {"log", "uniform", "int", "choice"}:
        raise ConfigurationError(f"expected {SYNTAX} for {field}, got {str(term)!r}")
    if match["kind"] == "choice":
        return _choice(field, match["inside"])
    numbers = _numbers(field, match["inside"])
    kind, count = match["kind"], len(numbers)
    if count != 2 and not (kind == "int" and count == 3):
        raise ConfigurationError(f"expected two bounds for {field}, got {str(term)!r}")
    if numbers[0] >= numbers[1]:
        raise ConfigurationError(f"the range of {field} is empty: {str(term)!r}; the lower bound comes first")
    if kind == "log" and numbers[0] <= 0:
        raise ConfigurationError(
            f"expected a lower bound above 0 for {field} on a logarithmic scale, got {numbers[0]:g}"
        )
    if kind != "int":
        return Real(low=numbers[0], high=numbers[1], log=kind == "log")
    if any(number != int(number) for number in numbers) or (count == 3 and numbers[2] < 1):
        raise ConfigurationError(f"expected whole numbers for {field}, got {str(term)!r}")
    return Whole(low=int(numbers[0]), high=int(numbers[1]), step=int(numbers[2]) if count == 3 else 1)


def _numbers(field: str, inside: str) -> list[float]:
    try:
        numbers = [float(part) for part in inside.split(",")]
    except ValueError as error:
        raise ConfigurationError(f"expected numbers for {field}, got {inside!r}") from error
    if not all(map(math.isfinite, numbers)):
        raise ConfigurationError(f"expected finite numbers for {field}, got {inside!r}")
    return numbers


def _choice(field: str, inside: str) -> Choice:
    try:
        values = json.loads(f"[{inside}]")
    except json.JSONDecodeError:
        values = [_json_or_text(part.strip()) for part in inside.split(",")]
    options = tuple(dict.fromkeys(json.dumps(value, sort_keys=True) for value in values))
    if len(options) < 2 or len(options) < len(values) or "" in values:
        raise ConfigurationError(f"expected at least two different values to choose {field} from, got {inside!r}")
    return Choice(options=options)


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
