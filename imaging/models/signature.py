"""`signature.json`: who vouches for a package, by the OpenSSF's `model-signing` (a Sigstore bundle over every file).

The key that is trusted comes from the settings or the home of whoever verifies, never from the package. With a key or
a certificate nothing is asked of the network; only the Sigstore mode does. `model_signing` takes half a second to
import, so it is imported where it is used.
"""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from imaging import atomic
from imaging.errors import ConfigurationError, SignatureError
from imaging.models.signing_key import ensure_signing_key, public_key_path
from imaging.settings import Settings

if TYPE_CHECKING:
    from model_signing import hashing, signing, verifying

SIGNATURE_FILE = "signature.json"
SIGN_ANEW = (
    "a version from before packages were signed is not served any more: run `thorax pipelines run train-classifier` "
    "again and approve the version that it registers"
)


def sign_package(directory: Path, settings: Settings) -> bool:
    """Write `signature.json` over every file in `directory`, in the place of an earlier one.

    Args:
        directory: A finished package.
        settings: How to sign, and with what; the platform's own key is made on first use.

    Returns:
        Whether the platform's own key was made now.

    Raises:
        ConfigurationError: there is nothing to sign with, or it is no key or certificate.
    """
    key, is_new = ensure_signing_key(settings) if settings.signing == "key" else (settings.signing_key, False)
    with tempfile.TemporaryDirectory(prefix="thorax-signature-") as scratch:
        signature = Path(scratch) / SIGNATURE_FILE
        try:
            _signer(settings, key).set_hashing_config(_hashing(directory)).sign(directory, signature)
        except (ValueError, TypeError, OSError) as error:
            raise ConfigurationError(f"the package cannot be signed by {settings.signing}: {error}") from error
        atomic.write_bytes(directory / SIGNATURE_FILE, signature.read_bytes())
    return is_new


def verify_signature(directory: Path, settings: Settings) -> None:
    """Check that a trusted party signed exactly the files in `directory`.

    Raises:
        SignatureError: there is no signature, it is by somebody else, or a file is missing, added or changed.
    """
    signature = directory / SIGNATURE_FILE
    if not signature.is_file() or signature.is_symlink():
        raise SignatureError(f"the model package has no {SIGNATURE_FILE}: nobody vouches for it; {SIGN_ANEW}")
    verifier = _verifier(settings)
    try:
        verifier.set_hashing_config(_hashing(directory)).verify(directory, signature)
    except Exception as error:  # whatever a made-up signature provokes in parsers, it does not verify
        raise SignatureError(f"the model package's signature does not hold: {_reason(error)}") from error


def _hashing(directory: Path) -> "hashing.Config":
    """Every file but the signature: also those that start with `.git`, which the library leaves out by itself."""
    from model_signing import hashing

    config = hashing.Config().use_file_serialization(max_workers=1)
    return config.set_ignored_paths(paths=[directory / SIGNATURE_FILE], ignore_git_paths=False)


def _signer(settings: Settings, key: Path | None) -> "signing.Config":
    from model_signing import signing

    config = signing.Config()
    if settings.signing == "sigstore":
        return config.use_sigstore_signer(use_ambient_credentials=True)
    if key is None:
        raise ConfigurationError("THORAX_SIGNING_KEY has to name the private key of the certificate")
    if settings.signing == "key":
        return config.use_elliptic_key_signer(private_key=key)
    if settings.signing_certificate is None:
        raise ConfigurationError("THORAX_SIGNING_CERTIFICATE has to name the certificate to sign with")
    chain = [settings.signing_chain or settings.signing_certificate]  # the library takes no empty chain
    return config.use_certificate_signer(
        private_key=key, signing_certificate=settings.signing_certificate, certificate_chain=chain
    )


def _verifier(settings: Settings) -> "verifying.Config":
    from model_signing import verifying

    config = verifying.Config()
    if settings.signing == "sigstore":
        if not (settings.signature_identity and settings.signature_issuer):
            raise SignatureError("THORAX_SIGNATURE_IDENTITY and THORAX_SIGNATURE_ISSUER have to say who is trusted")
        return config.use_sigstore_verifier(identity=settings.signature_identity, oidc_issuer=settings.signature_issuer)
    if settings.signing == "certificate":
        if settings.signature_roots is None or not settings.signature_roots.is_file():
            raise SignatureError("THORAX_SIGNATURE_ROOTS has to name the certificates that are trusted to sign")
        return config.use_certificate_verifier(certificate_chain=[settings.signature_roots])
    public = public_key_path(settings)
    if not public.is_file():
        raise SignatureError(
            f"no public key at {public} to verify the package by: copy the trainer's there, or name it in "
            "THORAX_SIGNATURE_KEY"
        )
    try:
        return config.use_elliptic_key_verifier(public_key=public)
    except (ValueError, TypeError, AttributeError) as error:
        raise SignatureError(f"{public} is no public key of an elliptic curve in PEM") from error


def _reason(error: Exception) -> str:
    """Say in words what the library found; it names files, and whole digests that nobody reads."""
    text = str(error)
    if "Key mismatch" in text or type(error).__name__ in {"InvalidSignature", "X509StoreContextError"}:
        return "it is by another key than the one trusted here"
    if text.startswith("Signature mismatch"):
        return "a file was changed, added or removed since"
    return "it cannot be read" if isinstance(error, ValueError | KeyError | TypeError | IndexError) else text
