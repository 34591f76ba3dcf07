"""The Ed25519 key that signs the record: made on first use, kept with mode 0600, never replaced.

The cryptography package is imported where it is used, so that command-line help stays quick.
"""

import contextlib
import hashlib
import os
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from audit.errors import DamagedLogError, ForeignWitnessError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

KEY_NAME = "signing.key"
NEXT_KEY_NAME = "signing.key.next"
"""The key that will follow, from its making until the record names it and it is put in the other's place."""
KEY_BYTES = 32


class PublicKeyKeeper(Protocol):
    """What keeps the public half: a witness."""

    @property
    def place(self) -> str: ...
    def public_key(self) -> bytes | None: ...
    def keep_public_key(self, public: bytes) -> None: ...


def load_or_create_key(folder: Path, witness: PublicKeyKeeper, *, is_new: bool) -> "Ed25519PrivateKey":
    """Return the signing key of `folder`; for a new log make it, and give its public half to `witness`.

    Raises:
        ForeignWitnessError: when the witness knows another key: the log was swapped, or its key deleted.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    path = folder / KEY_NAME
    if not path.exists():
        if (not is_new or witness.public_key() is not None) and not path.exists():  # a key made this moment is no swap
            raise ForeignWitnessError(
                f"no {KEY_NAME} in the audit folder, but its database or {witness.place} knows an older log: "
                "put the key back, or name an empty place in THORAX_AUDIT_WITNESS"
            )
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        create_once(path, Ed25519PrivateKey.generate().private_bytes_raw(), mode=0o600)
    key = Ed25519PrivateKey.from_private_bytes(_read(path))
    public = public_bytes(key)
    known = witness.public_key()
    if known is None and is_new:
        witness.keep_public_key(public)
        known = witness.public_key()
    if known is None:
        raise DamagedLogError(f"the log has records, but there is no public key in {witness.place}")
    if known != public and is_new:  # of a log with records, its first and its last one say whose it is
        raise ForeignWitnessError(
            f"{witness.place} witnesses a log with another key: name this log's own place in THORAX_AUDIT_WITNESS"
        )
    return key


def successor(folder: Path) -> bytes:
    """Make the key that will follow and return its public half; one that a killed rotation left is taken up."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    path = folder / NEXT_KEY_NAME
    create_once(path, Ed25519PrivateKey.generate().private_bytes_raw(), mode=0o600)
    return public_of(path)


def public_of(path: Path) -> bytes:
    """Return the public half of the private key in a file.

    Raises:
        DamagedLogError: there is no key.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    try:
        return public_bytes(Ed25519PrivateKey.from_private_bytes(_read(path)))
    except OSError as error:
        raise DamagedLogError(f"no key in {path.name}: {error.strerror}") from error


def take_over(folder: Path, public: bytes) -> None:
    """Put the following key in the old one's place, if it is the one that the record names."""
    path = folder / NEXT_KEY_NAME
    if path.exists() and public_of(path) == public:
        with contextlib.suppress(FileNotFoundError):  # another process was first
            path.replace(folder / KEY_NAME)
            _sync(folder)


def public_bytes(key: "Ed25519PrivateKey") -> bytes:
    """Return the 32 raw bytes of the public half."""
    return key.public_key().public_bytes_raw()


def load_public_key(path: Path) -> bytes:
    """Read a public key as the witness keeps it: hexadecimal text.

    Raises:
        DamagedLogError: when the file is absent or is no key.
    """
    try:
        raw = bytes.fromhex(path.read_text().strip())
    except (OSError, ValueError) as error:
        raise DamagedLogError(f"no public key at {path}: expected 64 hexadecimal digits") from error
    if len(raw) != KEY_BYTES:
        raise DamagedLogError(f"{path} holds {len(raw)} bytes, a public key has {KEY_BYTES}")
    return raw


def signature_holds(public: bytes, signature_hex: str, text: str) -> bool:
    """Tell whether `signature_hex` is the signature of `text` by the key with the half `public`."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        raw = bytes.fromhex(signature_hex)
        Ed25519PublicKey.from_public_bytes(public).verify(raw, text.encode())
    except (InvalidSignature, ValueError):
        return False
    # `fromhex` forgives spaces and capitals; a stored signature has one spelling.
    return raw.hex() == signature_hex


def kept(folder: Path, name: str) -> str:
    """Return what a file of the log's folder says, as a cluster mounts a secret; "" where there is none."""
    path = folder / name
    return path.read_text(encoding="utf-8").strip() if path.is_file() else ""


def fingerprint(public: bytes) -> str:
    """Return a short name of a public key, for people to compare."""
    return hashlib.sha256(public).hexdigest()[:16]


def _read(path: Path) -> bytes:
    """Read a key of 32 raw bytes, or of 64 hexadecimal digits as a cluster's secret holds it."""
    raw = path.read_bytes()
    if len(raw.strip()) == 2 * KEY_BYTES:
        with contextlib.suppress(ValueError):
            raw = bytes.fromhex(raw.decode("ascii", "replace"))
    if len(raw) != KEY_BYTES:
        raise DamagedLogError(f"{KEY_NAME} holds {len(raw)} bytes, a signing key has {KEY_BYTES}")
    return raw


def create_once(path: Path, data: bytes, *, mode: int) -> None:
    """Write `path` whole, unless another process was first; its file then stands."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(temporary, path)
        except FileExistsError:
            return
    finally:
        temporary.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
