"""The rules of size, names and shape that every Python file keeps; each rule is also shown able to fail."""

import ast
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

from tests.architecture.rules import Rule, dotted, everywhere, found, keyword, outside_tests, parsed

FILE_LINES = 300
FUNCTION_LINES = 40
COMPONENT_LINES = 15
VAGUE = {"util", "utils", "helper", "helpers", "common", "base", "core", "misc", "stuff", "commons"}
NO_COMPONENTS = {"__init__", "images"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def code_lines(function: Function) -> int:
    """Lines from `def` to the end, without the docstring."""
    lines = function.end_lineno - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function) is not None:
        lines -= first.end_lineno - first.lineno + 1
    return lines


def is_long_file(path: str, text: str) -> list[str]:
    lines = text.count("\n") + 1 - text.endswith("\n")
    return [f"{path}: {lines} lines, at most {FILE_LINES}"] if lines > FILE_LINES else []


def is_long_function(path: str, text: str) -> list[str]:
    functions = found(path, text, (ast.FunctionDef, ast.AsyncFunctionDef))
    return [
        f"{path}:{f.lineno}: {f.name} has {code_lines(f)} lines, at most {FUNCTION_LINES}"
        for f in functions
        if code_lines(f) > FUNCTION_LINES
    ]


def is_vague_name(path: str, text: str) -> list[str]:
    words = {word for part in PurePosixPath(path).with_suffix("").parts for word in part.strip("_").split("_")}
    if path.startswith("infra/base/"):
        return []  # kustomize's own word
    return [f"{path}: {', '.join(sorted(words & VAGUE))} says nothing"] if words & VAGUE else []


def is_undescribed(path: str, text: str) -> list[str]:
    described = ast.get_docstring(parsed(path, text)) or ""
    vague = not described.strip() or "to be described" in described.lower()
    return [f"{path}: no module docstring that says what it is for"] if vague else []


def is_not_one_class(path: str, text: str) -> list[str]:
    classes = [node.name for node in parsed(path, text).body if isinstance(node, ast.ClassDef)]
    return [] if len(classes) == 1 else [f"{path}: a handler file has one class, not {classes}"]


def is_bad_component(path: str, text: str) -> list[str]:
    """What KFP 2.17 cannot compile, and what the style asks of a component file."""
    tree = parsed(path, text)
    problems = []
    if any(isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in tree.body):
        problems.append(f"{path}: KFP cannot read annotations under `from __future__ import annotations`")
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef) and is_component(node)]
    if not functions and "kfp" not in text:
        return []
    stem = PurePosixPath(path).stem
    if [function.name for function in functions] != [stem] or "_" not in stem:
        problems.append(f"{path}: expected one component, verb_noun, named {stem}")
    for function in functions:
        problems += component_problems(path, function)
    return problems


def is_component(function: ast.FunctionDef) -> bool:
    decorators = [node.func if isinstance(node, ast.Call) else node for node in function.decorator_list]
    return any(dotted(node) in ("dsl.component", "component", "kfp.dsl.component") for node in decorators)


def component_problems(path: str, function: ast.FunctionDef) -> Iterator[str]:
    every = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    for annotation in [given.annotation for given in every] + [function.returns]:
        written = "" if annotation is None else ast.unparse(annotation)
        if "| None" in written or "None |" in written or "Optional[" in written:
            yield f"{path}:{function.lineno}: `{written}` in a component's signature"
    if any(given.annotation is None for given in every):
        yield f"{path}:{function.lineno}: a component's inputs are annotated"
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    lines = body[-1].end_lineno - body[0].lineno + 1 if body else 0
    if lines > COMPONENT_LINES:
        yield f"{path}:{function.lineno}: body of {lines} lines, at most {COMPONENT_LINES}"
    for decorator in function.decorator_list:
        if isinstance(decorator, ast.Call) and keyword(decorator, "packages_to_install") is not None:
            yield f"{path}:{function.lineno}: packages_to_install"


def handlers(path: str) -> bool:
    return path.startswith("serving/handlers/") and not path.endswith("__init__.py")


def components(path: str) -> bool:
    return path.startswith("components/") and PurePosixPath(path).stem not in NO_COMPONENTS


COMPONENT = "@dsl.component(base_image=images.X)\ndef train_model(x: {kind}) -> float:\n{body}"
RULES = {
    "a file fits in 300 lines": Rule(
        check=is_long_file, where=everywhere, bad=("x = 1\n" * 301,), good="x = 1\n" * 300
    ),
    "a function fits in 40 lines": Rule(
        check=is_long_function,
        where=everywhere,
        bad=("def f():\n" + "    x = 1\n" * 40, "class A:\n    async def f(self):\n" + "        x = 1\n" * 40),
        good='def f():\n    """Say\n' + "    much.\n" * 30 + '    """\n' + "    x = 1\n" * 39,
    ),
    "a module says what it is for": Rule(
        check=is_undescribed, where=outside_tests, bad=("x = 1\n", '"""TO BE DESCRIBED."""\n'), good='"""Spells."""\n'
    ),
    "a handler file has one class": Rule(
        check=is_not_one_class,
        where=handlers,
        bad=("x = 1\n", "class A: ...\nclass B: ...\n"),
        good="class A:\n    class Inner: ...\n",
        path="serving/handlers/thing.py",
    ),
    "a component is what KFP can compile": Rule(
        check=is_bad_component,
        where=components,
        path="components/train_model.py",
        bad=(
            "from __future__ import annotations\n" + COMPONENT.format(kind="str", body="    return 1.0\n"),
            COMPONENT.format(kind="str | None", body="    return 1.0\n"),
            COMPONENT.format(kind="Optional[str]", body="    return 1.0\n"),
            COMPONENT.format(kind="str", body="    x = 1\n" * 16),
            COMPONENT.format(kind="str", body="    return 1.0\n").replace("train_model", "model_training"),
            COMPONENT.format(kind="str", body="    return 1.0\n").replace(
                "images.X", "images.X, packages_to_install=[]"
            ),
            "import kfp\n",
        ),
        good=COMPONENT.format(kind="dict", body='    """Train.\n\n    Long.\n    """\n' + "    x = 1\n" * 15),
    ),
}


@pytest.mark.parametrize("name", RULES)
def test_every_file_keeps_the_rule(name: str, sources: dict[str, str]):
    problems = RULES[name].problems(sources)
    assert not problems, f"{name}:\n" + "\n".join(problems)


@pytest.mark.parametrize("name", RULES)
def test_the_rule_can_fail_and_can_hold(name: str):
    rule = RULES[name]
    assert rule.where(rule.path)
    assert not [text for text in rule.bad if not rule.check(rule.path, text)], "not noticed"
    assert rule.check(rule.path, rule.good) == []


def test_no_file_or_folder_has_a_vague_name(files: list[str]):
    assert not [line for path in files for line in is_vague_name(path, "")]


@pytest.mark.parametrize("path", ["imaging/utils.py", "imaging/_base/x.py", "thorax/string_helpers.py", "core/x.md"])
def test_a_vague_name_is_noticed(path: str):
    assert is_vague_name(path, "")
    assert not is_vague_name("imaging/database_basement.py", "")


@pytest.mark.parametrize("folder", ["thorax", "pipelines", "components", "imaging", "audit", "serving", "monitoring"])
def test_every_package_has_a_readme_with_its_decisions(folder: str, root: Path):
    readme = root / folder / "README.md"
    assert readme.is_file(), f"{folder}/README.md is missing"
    assert "## Decisions" in readme.read_text(encoding="utf-8"), f"{folder}/README.md has no '## Decisions'"


def test_the_rules_see_the_files(sources: dict[str, str]):
    assert "imaging/errors.py" in sources
    assert "tests/architecture/test_layout.py" in sources
    assert not [path for path in sources if path.startswith(".")]
