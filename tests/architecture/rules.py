"""What a rule about Python files is, and how its tests read the source.

A rule takes a file's path and text and returns its problems, as `path:line: what`. It brings texts that break it
and one that keeps it, so that each rule is shown able to fail.
"""

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    check: Callable[[str, str], list[str]]
    where: Callable[[str], bool]
    bad: tuple[str, ...]
    """Texts (or, for names, paths) that break it."""
    good: str
    path: str = "imaging/thing.py"

    def problems(self, sources: dict[str, str]) -> list[str]:
        """What breaks the rule in the files it is about."""
        return [line for path, text in sources.items() if self.where(path) for line in self.check(path, text)]


def everywhere(path: str) -> bool:
    return True


def outside_tests(path: str) -> bool:
    return not path.startswith("tests/")


def dotted(node: ast.AST) -> str:
    """`a.b.c` of a name or attribute, "" of anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return ""


@lru_cache(maxsize=2048)
def parsed(path: str, text: str) -> ast.Module:
    """The syntax tree; every rule reads the same one."""
    return ast.parse(text, path)


def found(path: str, text: str, kind: type | tuple[type, ...]) -> Iterator:
    return (node for node in ast.walk(parsed(path, text)) if isinstance(node, kind))


def keyword(call: ast.Call, name: str) -> object:
    """The constant given for a keyword, None where absent, or the node where it is no constant."""
    for given in call.keywords:
        if given.arg == name:
            return given.value.value if isinstance(given.value, ast.Constant) else given.value
    return None
