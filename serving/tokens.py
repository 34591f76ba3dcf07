"""TorchServe's tokens, as it writes them at each start into its key file, and the one of the edge's copies."""

import json
from pathlib import Path
from typing import Literal

from imaging.errors import ServiceError


def authorization(keys: Path | None, kind: Literal["inference", "management"]) -> dict[str, str]:
    """Return the header that opens one of TorchServe's two APIs; empty where no key file is set.

    Read at each call, because a restart of TorchServe makes new tokens.

    Raises:
        ServiceError: the key file is not there or is half written: TorchServe is not up yet.
    """
    if keys is None:
        return {}
    try:
        token = json.loads(keys.read_text(encoding="utf-8"))[kind]["key"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ServiceError(f"no {kind} token in TorchServe's key file: is it up? try `thorax status`") from error
    return {"Authorization": f"Bearer {token}"}


def shadow_token_file(home: Path) -> Path:
    """Return where the edge keeps what its copies of requests present to a version in shadow."""
    return home / "edge" / "shadow.token"


def shadow_token(home: Path) -> str:
    """Return what the edge's copies present; empty where there is no edge, so that nothing is let through."""
    try:
        return shadow_token_file(home).read_text(encoding="utf-8").strip()
    except OSError:
        return ""
