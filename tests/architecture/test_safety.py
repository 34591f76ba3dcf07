"""What no file of ours does: print, unpickle, go through a shell, wait for ever, swallow or assert."""

import ast
from collections.abc import Iterator

import pytest

from tests.architecture.rules import Rule, dotted, everywhere, found, keyword, outside_tests

UNSAFE_MODULES = {"pickle", "_pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
EXTERNAL_CALLS = {"subprocess.run", "subprocess.call", "subprocess.check_call", "subprocess.check_output"}


def is_printing(path: str, text: str) -> list[str]:
    calls = found(path, text, ast.Call)
    return [f"{path}:{call.lineno}: print()" for call in calls if dotted(call.func) in ("print", "pprint.pprint")]


def is_unpickling(path: str, text: str) -> list[str]:
    problems = []
    for node in found(path, text, (ast.Import, ast.ImportFrom, ast.Call)):
        if isinstance(node, ast.Import):
            modules = {name.name.split(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules = {(node.module or "").split(".")[0]}
        else:
            problems += [f"{path}:{node.lineno}: {reason}" for reason in unsafe_call(node)]
            continue
        problems += [f"{path}:{node.lineno}: imports {name}" for name in sorted(modules & UNSAFE_MODULES)]
    return problems


def unsafe_call(call: ast.Call) -> Iterator[str]:
    name = dotted(call.func)
    if name == "torch.load" and keyword(call, "weights_only") is not True:
        yield "torch.load without weights_only=True"
    if name in ("torch.save", "torch.jit.save"):
        yield f"{name} writes a pickle; use safetensors"
    if name.split(".")[-1] in ("read_pickle", "to_pickle") or keyword(call, "allow_pickle") is True:
        yield f"{name} reads or writes a pickle"
    if name in ("yaml.load", "yaml.unsafe_load", "yaml.full_load"):
        yield f"{name}: use yaml.safe_load"


def is_through_a_shell(path: str, text: str) -> list[str]:
    return [
        f"{path}:{call.lineno}: {dotted(call.func)} goes through a shell"
        for call in found(path, text, ast.Call)
        if keyword(call, "shell") not in (None, False)
        or dotted(call.func) in ("os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput")
    ]


def is_endless(path: str, text: str) -> list[str]:
    return [
        f"{path}:{call.lineno}: {dotted(call.func)} without a timeout"
        for call in found(path, text, ast.Call)
        if (dotted(call.func) in EXTERNAL_CALLS and keyword(call, "timeout") is None)
        or ("timeout" in {given.arg for given in call.keywords if literal_none(given)})
    ]


def literal_none(given: ast.keyword) -> bool:
    return isinstance(given.value, ast.Constant) and given.value.value is None


def is_bare_except(path: str, text: str) -> list[str]:
    return [f"{path}:{node.lineno}: bare except" for node in found(path, text, ast.ExceptHandler) if node.type is None]


def is_asserting(path: str, text: str) -> list[str]:
    return [f"{path}:{node.lineno}: assert outside tests" for node in found(path, text, ast.Assert)]


RULES = {
    "nothing prints": Rule(
        check=is_printing,
        where=outside_tests,
        bad=("print('x')\n", "def f():\n    print()\n"),
        good="emit(1)\nx = 'print(1)'\n",
    ),
    "nothing unpickles": Rule(
        check=is_unpickling,
        where=outside_tests,
        bad=(
            "import pickle\n",
            "def f():\n    from joblib import load\n",
            "import os, dill as d\n",
            "torch.load(path)\n",
            "torch.load(path, weights_only=False)\n",
            "torch.save(x, path)\n",
            "np.load(path, allow_pickle=True)\n",
            "frame.to_pickle(path)\n",
            "yaml.load(text)\n",
        ),
        good="import json\n"
        "torch.load(path, weights_only=True)\nnp.load(path, allow_pickle=False)\nyaml.safe_load(text)\n",
    ),
    "nothing goes through a shell": Rule(
        check=is_through_a_shell,
        where=everywhere,
        bad=("subprocess.run('ls', shell=True, timeout=1)\n", "Popen(x, shell=flag)\n", "os.system('ls')\n"),
        good="subprocess.run(['ls'], shell=False, timeout=1)\n",
    ),
    "every external call has a timeout": Rule(
        check=is_endless,
        where=outside_tests,
        bad=("subprocess.run(['ls'])\n", "subprocess.check_output(x)\n", "httpx.get(url, timeout=None)\n"),
        good="subprocess.run(['ls'], timeout=5)\nhttpx.get(url, timeout=wait)\n",
    ),
    "no bare except": Rule(
        check=is_bare_except,
        where=everywhere,
        bad=("try:\n    f()\nexcept:\n    raise\n",),
        good="try:\n    f()\nexcept OSError:\n    raise\n",
    ),
    "no assert outside tests": Rule(
        check=is_asserting, where=outside_tests, bad=("assert x\n",), good="if not x:\n    raise ValueError\n"
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
