"""Who vouches for a package, on record when it is the platform's own new key."""

from pathlib import Path

from audit import record
from imaging.settings import Settings


def sign(package: Path) -> str:
    """Sign a finished package as the settings say; return the fingerprint of the key, "" where it is no plain key.

    Raises:
        ConfigurationError: there is nothing to sign with.
    """
    from imaging.models.signature import sign_package
    from imaging.models.signing_key import fingerprint, public_key_path

    settings = Settings()
    is_new = sign_package(package, settings)
    signer = fingerprint(public_key_path(settings)) if settings.signing == "key" else ""
    if is_new:
        record("config.changed", subject="signing key", details={"made": signer})
    return signer
