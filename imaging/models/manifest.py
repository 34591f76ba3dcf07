"""`manifest.json`: the SHA-256 of every other file of a finished package, so that a changed byte is found and named.

It finds accidents by itself. Against intent it needs the package digest kept elsewhere (the registry, the audit record)
and, later, a signature; both cover this file too.
"""

import hashlib
import json
from pathlib import Path

from imaging import atomic
from imaging.models.directory import FORBIDDEN_SUFFIXES, UNSIGNED

MANIFEST = "manifest.json"
UNLISTED = {MANIFEST, *UNSIGNED}
PICKLE_STARTS = {b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"PK"}
"""A pickle's protocol mark; a zip archive, as `torch.save` writes it."""


def file_digest(path: Path) -> str:
    """Return `sha256:` and the hash of the file's bytes."""
    with path.open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


def listed_files(directory: Path) -> dict[str, Path]:
    """Every file the manifest answers for, by its name relative to `directory`."""
    files = {path.relative_to(directory).as_posix(): path for path in sorted(directory.rglob("*")) if path.is_file()}
    return {name: path for name, path in files.items() if name not in UNLISTED}


def write_manifest(directory: Path) -> None:
    """Write `manifest.json` for what lies in `directory` now."""
    digests = {name: file_digest(path) for name, path in listed_files(directory).items()}
    atomic.write_text(directory / MANIFEST, json.dumps(digests, indent=1, sort_keys=True) + "\n")


def manifest_problems(directory: Path) -> list[str]:
    """Compare `directory` with its manifest; one sentence for each difference, none when it holds."""
    try:
        expected = json.loads((directory / MANIFEST).read_text())
    except (OSError, ValueError):
        return [f"{MANIFEST} is missing or not JSON"]
    if not isinstance(expected, dict):
        return [f"{MANIFEST} is not a table of digests"]
    found = listed_files(directory)
    problems = [f"{name} is missing" for name in sorted(expected.keys() - found.keys())]
    problems += [f"{name} is not in the manifest" for name in sorted(found.keys() - expected.keys())]
    shared = sorted(found.keys() & expected.keys())
    return problems + [f"{name} has changed" for name in shared if file_digest(found[name]) != expected[name]]


def code_problems(directory: Path) -> list[str]:
    """Name every file that could run code on loading: by suffix, and by its first bytes whatever it is called."""
    problems = []
    for name, path in listed_files(directory).items():
        with path.open("rb") as file:
            start = file.read(2)
        # A safetensors file starts with its header's length, which may happen to look like a pickle's protocol mark.
        disguised = path.suffix != ".safetensors" and start in PICKLE_STARTS
        if path.suffix.lower() in FORBIDDEN_SUFFIXES or disguised or path.is_symlink():
            problems.append(f"{name} can run code when loaded, or is a link")
    return problems
