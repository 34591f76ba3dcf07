"""What must never be in the repository: secrets, default passwords, addresses of package indexes, stray files.

Where packages come from is the reader's own setting, so no file names an index; versions and hashes are in
requirements.lock. The samples below are put together from pieces, so that this file passes its own rules.
"""

import re
from pathlib import Path, PurePosixPath

import pytest

HOSTS = {
    "an index option": r"--(extra-)?index-url\b|--find[-]links\b|--trusted[-]host\b|\[\[?tool\.uv\.index",
    "an index setting": r"\b(PIP|UV)_(EXTRA_)?(DEFAULT_)?INDEX(_URL)?\s*[:=]",
    "a package host": r"\bpypi\.(org|python\.org)\b|pythonhosted\.org|registry\.npmjs|\bartifactory\b|\.anaconda\.org",
    "a file address in the lock": r"(?m)^[a-z0-9._-]+ @ https?://",
}
SECRETS = {
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    "a cloud key": r"\bAKIA[0-9A-Z]{16}\b|\bgh[pousr]_[A-Za-z0-9]{30,}|\bxox[abp]-[A-Za-z0-9-]{10,}|\bhf_[A-Za-z]{30,}",
    "a password in an address": r"[a-z][a-z0-9+]*://[\w.-]+:(?!\{|\$|<|%|\*)[^\s/@\"'{}:]{3,}@[\w.-]+",
    "a well-known password": r"(?i)[\"'=:\s](password1234|minioadmin|changeme|admin123|letmein)\b",
}
DEFAULT_PASSWORD = (
    r"(?i)\b\w*(password|passwd|secret_key|api_key|auth_token)\w*\s*(:\s*[\w\[\]]+\s*)?=\s*(SecretStr\()?"
    r"[\"'][^\"'{}$<\s]{3,}[\"']"
)
NAME_OF_A_PASSWORD = r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)+|(?i:[\w./-]*(password|secret|token|key)[\w./-]*)"
HIDDEN = {
    ".ci",
    ".github",
    ".gitignore",
    ".gitattributes",
    ".dockerignore",
    ".pre-commit-config.yaml",
    ".containerignore",
}
STRAY_NAMES = {
    "uv.lock",
    "poetry.lock",
    "Pipfile.lock",
    "pdm.lock",
    ".env",
    ".netrc",
    "credentials.json",
    "key_file.json",
}
STRAY_ENDINGS = (
    ".pem",
    ".key",
    ".pt",
    ".pth",
    ".bin",
    ".pkl",
    ".pickle",
    ".joblib",
    ".dcm",
    ".safetensors",
    ".mar",
    ".db",
)


def matches(rules: dict[str, str], path: str, text: str) -> list[str]:
    """Where `text` breaks one of `rules`, without repeating what was found."""
    return [
        f"{path}:{text.count(chr(10), 0, hit.start()) + 1}: {name}"
        for name, pattern in rules.items()
        for hit in re.finditer(pattern, text)
    ]


def default_passwords(path: str, text: str) -> list[str]:
    """Passwords given as literals; names of settings and of environment variables are no passwords."""
    problems = []
    for hit in re.finditer(DEFAULT_PASSWORD, text):
        value = re.findall(r"[\"']([^\"']*)[\"']", hit.group())[-1]
        if not re.fullmatch(NAME_OF_A_PASSWORD, value):
            problems.append(f"{path}:{text.count(chr(10), 0, hit.start()) + 1}: a password in the source")
    return problems


def is_stray(path: str) -> bool:
    parts = set(PurePosixPath(path).parts)
    hidden = {part for part in parts if part.startswith(".")} - HIDDEN
    name = PurePosixPath(path).name
    return name in STRAY_NAMES or name.endswith(STRAY_ENDINGS) or bool(hidden) or "__pycache__" in parts


def test_no_file_names_a_package_index(texts: dict[str, str]):
    problems = [line for path, text in texts.items() for line in matches(HOSTS, path, text)]
    assert not problems, "\n".join(problems)


def test_no_file_holds_a_secret(texts: dict[str, str]):
    problems = [line for path, text in texts.items() for line in matches(SECRETS, path, text)]
    assert not problems, "\n".join(problems)


def test_no_source_has_a_default_password(sources: dict[str, str]):
    ours = {path: text for path, text in sources.items() if not path.startswith("tests/")}
    problems = [line for path, text in ours.items() for line in default_passwords(path, text)]
    assert not problems, "\n".join(problems)


def test_no_stray_file_is_tracked(files: list[str]):
    assert not [path for path in files if is_stray(path)]


def test_the_lock_has_a_hash_for_every_version_and_no_address(root: Path):
    lines = (root / "requirements.lock").read_text().splitlines()
    pins = [number for number, line in enumerate(lines) if re.match(r"[a-z0-9][\w.\-\[\],]*==", line)]
    assert len(pins) > 50
    assert all("--hash=sha256:" in lines[number + 1] for number in pins)
    assert not [line for line in lines if "://" in line]


@pytest.mark.parametrize(
    "sample",
    [
        "pip install --index" + "-url x",
        "--extra-index" + "-url=http://mirror",
        "UV_INDEX" + "_URL=http://mirror",
        "[[tool.uv" + ".index]]",
        "https://py" + "pi.org/simple",
        "https://files.python" + "hosted.org/x.whl",
        "numpy @ " + "https://mirror/numpy.whl",
    ],
)
def test_an_index_is_noticed(sample: str):
    assert matches(HOSTS, "x", sample)


@pytest.mark.parametrize(
    "sample",
    [
        "-----BEGIN " + "RSA PRIVATE KEY-----",
        "key = AKIA" + "ABCDEFGHIJKLMNOP",
        "ghp_" + "a" * 36,
        "postgresql://mlflow:" + "hunter22@db/mlflow",
        "--admin-password " + "password" + "1234",
    ],
)
def test_a_secret_is_noticed(sample: str):
    assert matches(SECRETS, "x", sample)


@pytest.mark.parametrize("line", ['password = "hunter22"', "mlflow_password: str = 'swordfish'", 'API_KEY="a1b2c3"'])
def test_a_default_password_is_noticed(line: str):
    assert default_passwords("x.py", line)


@pytest.mark.parametrize(
    "line",
    [
        'mlflow_password: SecretStr = SecretStr("")',
        'PASSWORD = "THORAX_MLFLOW_PASSWORD"',
        "password = secrets.token_urlsafe(24)",
        'secret_key = credentials["s3"]["secret_key"]',
    ],
)
def test_a_name_of_a_password_is_none(line: str):
    assert not default_passwords("x.py", line)


def test_harmless_addresses_are_allowed():
    for text in ("http://127.0.0.1:8080/ping", f"https://{'user'}:{{password}}@host", "UV_NO_PROGRESS=1"):
        assert not matches({**HOSTS, **SECRETS}, "x", text)


@pytest.mark.parametrize(
    "path", ["uv.lock", "a/model.pt", "data/x.dcm", ".env", "run/.hidden/x", "a/__pycache__/b.pyc"]
)
def test_a_stray_file_is_noticed(path: str):
    assert is_stray(path)
    assert not is_stray(".ci/run")
    assert not is_stray(".gitignore")
