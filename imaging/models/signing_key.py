"""The platform's own signing key: an elliptic-curve pair made once under the home, its public half beside it.

The private half signs packages after training; whoever serves needs the public half alone.
"""

import contextlib
import hashlib
import os
import uuid
from pathlib import Path

from imaging.errors import ConfigurationError
from imaging.settings import Settings


def private_key_path(settings: Settings) -> Path:
    """Return where the private key is: the settings' own place, else `home/keys/signing.key`."""
    return settings.signing_key or settings.home / "keys" / "signing.key"


def public_key_path(settings: Settings) -> Path:
    """Return where the trusted public key is: the settings' own place, else `home/keys/signing.pub`."""
    return settings.signature_key or settings.home / "keys" / "signing.pub"


def ensure_signing_key(settings: Settings) -> tuple[Path, bool]:
    """Return the private key's path and whether the pair was made now: P-256, the private half with mode 0600.

    Of two processes that start at once the first one's key stays. A key that the settings name is never made.

    Raises:
        ConfigurationError: the private key is gone while its public half is trusted, or is one that the settings name.
    """
    path, public = private_key_path(settings), public_key_path(settings)
    if settings.signing_key is not None:
        if not path.is_file():
            raise ConfigurationError(f"no key at {path}, which THORAX_SIGNING_KEY names")
        return path, False
    is_new = not path.exists()
    if is_new:
        if public.exists() and not path.exists():
            raise ConfigurationError(
                f"{public} has no {path.name} to sign with: put it back, or remove {public.name} to begin with a new "
                "pair; versions signed before are refused then, and have to be trained again"
            )
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        is_new = _write_once(path, _new_private_key(), mode=0o600)
    if settings.signature_key is None and not public.exists():
        _write_once(public, _public_half(path), mode=0o644)
    return path, is_new


def fingerprint(public_key: Path) -> str:
    """Return `sha256:` and the hash of a public key's file, which is also what its signatures name it by.

    Raises:
        ConfigurationError: there is no such file.
    """
    try:
        return "sha256:" + hashlib.sha256(public_key.read_bytes()).hexdigest()
    except OSError as error:
        raise ConfigurationError(f"no public key at {public_key}") from error


def _new_private_key() -> bytes:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _public_half(private_key: Path) -> bytes:
    from cryptography.hazmat.primitives import serialization

    try:
        key = serialization.load_pem_private_key(private_key.read_bytes(), None)
    except (ValueError, TypeError) as error:
        raise ConfigurationError(f"{private_key} is no private key in PEM without a password") from error
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def _write_once(path: Path, data: bytes, *, mode: int) -> bool:
    """Write `path` whole, unless another process was first; return whether it was us."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(temporary, path)
            return True
    finally:
        temporary.unlink(missing_ok=True)
    return False
