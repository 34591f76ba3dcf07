"""Every test asserts something: one that only has to end without an error also passes when nothing happens in it."""

import ast

from tests.architecture.rules import Rule, dotted, found

EXPECTATIONS = ("pytest.raises", "pytest.warns")
HELPERS = ("assert_", "check_")
"""A helper so named asserts for its caller."""


def is_test_file(path: str) -> bool:
    return path.startswith("tests/") and path.rpartition("/")[2].startswith("test_")


def is_without_assertion(path: str, text: str) -> list[str]:
    functions = found(path, text, (ast.FunctionDef, ast.AsyncFunctionDef))
    return [
        f"{path}:{function.lineno}: {function.name} asserts nothing"
        for function in functions
        if function.name.startswith("test_") and not any(map(is_assertion, ast.walk(function)))
    ]


def is_assertion(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call):
        return isinstance(node, ast.Assert)
    name = dotted(node.func)
    return name in EXPECTATIONS or name.split(".")[-1].startswith(HELPERS)


RULE = Rule(
    check=is_without_assertion,
    where=is_test_file,
    bad=(
        "def test_a():\n    run()\n",
        "async def test_a():\n    await run()\n",
        "class TestA:\n    def test_a(self):\n        self.run()\n",
        "@given(integers())\ndef test_a(x):\n    run(x)\n",
        "def test_a():\n    run(lambda: pytest.fail('x'))\n",
    ),
    good="def test_a():\n    assert run()\n"
    "def test_b():\n    with pytest.raises(ValueError):\n        run()\n"
    "def test_c():\n    numpy.testing.assert_allclose(a, b)\n"
    "@given(integers())\ndef test_d(x):\n    check_law(x)\n"
    "def helper():\n    run()\n",
    path="tests/imaging/test_thing.py",
)


def test_every_test_asserts_something(sources: dict[str, str]):
    problems = RULE.problems(sources)
    assert not problems, "\n".join(problems)


def test_the_rule_can_fail_and_can_hold():
    assert RULE.where(RULE.path)
    assert not RULE.where("tests/imaging/factories.py")
    assert not [text for text in RULE.bad if not RULE.check(RULE.path, text)], "not noticed"
    assert RULE.check(RULE.path, RULE.good) == []
