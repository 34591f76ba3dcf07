"""The stack's passwords and keys: random, made once, in one file that only its owner reads."""

import hashlib
import json
import secrets
from dataclasses import dataclass, field
from typing import Any, Self

from imaging.atomic import write_text
from thorax.stack.places import Places

ROLES = ("admin", "trainer", "approver", "controller")


@dataclass(frozen=True, kw_only=True, slots=True)
class Credentials:
    """Every secret that the stack itself makes; never shown by `repr`."""

    mlflow: dict[str, str] = field(repr=False)
    """Password by role; a role is an MLflow user."""
    s3_access_key: str
    s3_secret_key: str = field(repr=False)
    flask_key: str = field(repr=False)
    """Signs the sessions of MLflow's web pages."""

    @classmethod
    def new(cls) -> Self:
        """Fresh secrets of at least 128 bits."""
        return cls(
            mlflow={role: secrets.token_urlsafe(18) for role in ROLES},
            s3_access_key=secrets.token_hex(10),
            s3_secret_key=secrets.token_hex(20),
            flask_key=secrets.token_hex(32),
        )

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Raises ValueError, KeyError or TypeError for what `to_json` did not write."""
        mlflow = {role: str(value["mlflow"][role]) for role in ROLES}
        s3, flask = value["s3"], value["flask"]
        found = cls(
            mlflow=mlflow,
            s3_access_key=str(s3["access_key"]),
            s3_secret_key=str(s3["secret_key"]),
            flask_key=str(flask["secret_key"]),
        )
        if not all([*mlflow.values(), found.s3_access_key, found.s3_secret_key, found.flask_key]):
            raise ValueError("an empty secret")
        return found

    def to_json(self) -> dict[str, Any]:
        """Return what `credentials.json` holds."""
        s3 = {"access_key": self.s3_access_key, "secret_key": self.s3_secret_key}
        return {"mlflow": self.mlflow, "s3": s3, "flask": {"secret_key": self.flask_key}}


def load_credentials(places: Places) -> Credentials | None:
    """Return the secrets; None where there are none or the file is not whole."""
    try:
        return Credentials.from_json(json.loads(places.credentials.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def load_or_create_credentials(places: Places) -> tuple[Credentials, bool]:
    """Return the secrets and whether they are new.

    A file that is not whole is replaced: every server is given the new secrets when it starts, MLflow's users too.
    """
    found = load_credentials(places)
    if found is not None:
        places.credentials.chmod(0o600)
        return found, False
    made = Credentials.new()
    write_text(places.credentials, json.dumps(made.to_json(), indent=2) + "\n", mode=0o600)
    return made, True


def make_signing_key(places: Places) -> bool:
    """Make the key that signs packages, unless it is there or the settings name another; return whether it is new.

    It lies in a file of its own: training reads it, and serving needs nothing but its public half.

    Raises:
        ConfigurationError: it was lost while its public half is still trusted.
    """
    from audit import AuditLog, default_folder
    from imaging.models.signing_key import ensure_signing_key, fingerprint, public_key_path
    from imaging.settings import Settings

    settings = Settings(home=places.home)
    if settings.signing != "key":
        return False
    _, is_new = ensure_signing_key(settings)
    if is_new:
        made = {"made": fingerprint(public_key_path(settings))}
        AuditLog(default_folder(places.home)).append(
            "config.changed", actor="system", subject="signing key", details=made
        )
    return is_new


def are_shown(places: Places) -> bool:
    """Whether a person was shown the secrets of today's file; one that replaced it is shown again."""
    try:
        return places.credentials_shown.read_text(encoding="utf-8").strip() == _file_digest(places)
    except (OSError, ValueError):
        return False


def mark_shown(places: Places) -> None:
    """Keep that a person was shown the secrets."""
    write_text(places.credentials_shown, _file_digest(places) + "\n", mode=0o600)


def _file_digest(places: Places) -> str:
    return "sha256:" + hashlib.sha256(places.credentials.read_bytes()).hexdigest()
