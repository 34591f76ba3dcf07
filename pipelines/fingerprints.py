"""What a finished step depends on beside its parameters: code, source files, initial weights.

KFP's cache sees a step's command and arguments only, so these go in as arguments.
"""

import hashlib
import json
import uuid
from collections.abc import Iterable
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from imaging.settings import Settings

_CODE = ("imaging", "components", "audit")
"""The packages that steps run."""
_LIBRARIES = ("torch", "torchvision", "numpy", "scipy", "scikit-learn", "pydicom", "pillow", "captum", "torchmetrics")
_DECODERS = ("imagecodecs", "pydicom", "pillow", "pyarrow")
"""The libraries that decide what ingest reads of a file, and how it is kept."""
_NOT_CODE = {".pyc", ".md"}


@cache
def code_version() -> str:
    """Return the digest of the source files that steps run and of the libraries' versions."""
    digest = hashlib.sha256()
    for package in _CODE:
        for root in getattr(find_spec(package), "submodule_search_locations", None) or []:
            for file in sorted(Path(root).rglob("*")):
                if file.is_file() and file.suffix not in _NOT_CODE:
                    digest.update(f"{package}/{file.relative_to(root)}\0".encode())
                    digest.update(hashlib.sha256(file.read_bytes()).digest())
    digest.update(json.dumps({name: version(name) for name in _LIBRARIES}).encode())
    return "sha256:" + digest.hexdigest()


def source_version(source: str, labels: str, settings: Settings) -> str:
    """Return a fingerprint of the source's names, sizes and times, of its labels' bytes and of what ingest goes by.

    That is the pseudonyms' key, the limits on an image, and the versions of the libraries that read images.

    A bucket may change unseen, so an address gets a new one each time: it is ingested anew, and what
    follows is reused if the dataset's digest is the same.
    """
    if "://" in source or "://" in labels:
        return unseen()
    key = settings.pseudonym_key.get_secret_value() if settings.pseudonym_key else ""
    goes_by = {
        "key": key,
        "labels": [_content(path) for path in (Path(labels), Path(source) / labels)] if labels else [],
        "limits": [settings.max_image_bytes, settings.max_image_pixels],
        "libraries": {name: version(name) for name in _DECODERS},
    }
    return _fingerprint([Path(source)], salt=json.dumps(goes_by))


def unseen() -> str:
    """Return a fingerprint for what cannot be looked at: no step is reused under it."""
    return f"unseen-{uuid.uuid4().hex}"


def weights_version(settings: Settings) -> str:
    """Return a fingerprint of the initial weights that a recipe may start from."""
    downloads = "may-download" if settings.allow_download else ""
    return _fingerprint([settings.weights] if settings.weights else [], salt=downloads)


def _content(path: Path) -> str:
    """Return the digest of a file's bytes: a table is small, and may be rewritten within one tick of the clock."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def _fingerprint(paths: Iterable[Path], *, salt: str) -> str:
    digest = hashlib.sha256(salt.encode())
    for path in paths:
        files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
        for file in files:
            found = file.stat() if file.exists() else None
            facts = (found.st_size, found.st_mtime_ns) if found else ()
            digest.update(f"{file.relative_to(path)}\0{facts}\0".encode())
    return "sha256:" + digest.hexdigest()
