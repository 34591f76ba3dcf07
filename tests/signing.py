"""Signatures for packages that tests build by hand: one key pair for the whole run, in a home of its own."""

import functools
import shutil
import tempfile
from pathlib import Path

from imaging.models.signature import sign_package
from imaging.models.signing_key import ensure_signing_key, public_key_path
from imaging.settings import Settings


@functools.cache
def _scratch() -> "tempfile.TemporaryDirectory[str]":
    return tempfile.TemporaryDirectory(prefix="signing-")


def signer() -> Settings:
    """Settings that sign, and trust what they signed."""
    return Settings().model_copy(update={"home": Path(_scratch().name), "signing": "key"})


def sign(package: Path) -> None:
    """Sign a package as the platform does; call it again after a change that is not the one under test."""
    sign_package(package, signer())


def trusted_key() -> Path:
    """Return the public key of what `sign` signed, for `THORAX_SIGNATURE_KEY`."""
    ensure_signing_key(signer())
    return public_key_path(signer())


def trust(home: Path) -> Settings:
    """Let `home` trust what `sign` signed, as the home of the machine that trained would; return its settings."""
    shutil.copytree(trusted_key().parent, home / "keys", dirs_exist_ok=True)
    return Settings().model_copy(update={"home": home, "signing": "key"})
