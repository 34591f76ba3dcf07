"""Keyed hashes in place of patient identifiers: one patient, one hash, and no way back without the key."""

import contextlib
import hashlib
import hmac
import os
import secrets

from imaging.errors import ConfigurationError
from imaging.settings import Settings

KEY_BYTES = 32


def pseudonym_key(settings: Settings) -> bytes:
    """Return the key from the settings, or the one in `home/pseudonym.key`, made on first use (0600).

    Raises:
        ConfigurationError: a key that is not at least 32 bytes of hexadecimal.
    """
    if settings.pseudonym_key is not None:
        return _parse(settings.pseudonym_key.get_secret_value(), "THORAX_PSEUDONYM_KEY")
    path = settings.home / "pseudonym.key"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f".pseudonym.{secrets.token_hex(4)}.tmp")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(KEY_BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
        # A link, not a rename: of two processes that start at once, the first one's key stays.
        with contextlib.suppress(FileExistsError):
            os.link(fresh, path)
        fresh.unlink()
    return _parse(path.read_text(), str(path.name))


def _parse(text: str, where: str) -> bytes:
    try:
        key = bytes.fromhex(text.strip())
    except ValueError as error:
        raise ConfigurationError(f"{where} is not hexadecimal") from error
    if len(key) < KEY_BYTES:
        raise ConfigurationError(f"{where} has {len(key)} bytes; {KEY_BYTES} are needed: openssl rand -hex 32")
    return key


def pseudonym(patient_id: str, key: bytes) -> str:
    """Return 16 hexadecimal digits (HMAC-SHA256) for a patient identifier."""
    return hmac.new(key, patient_id.strip().encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:16]
