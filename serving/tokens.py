"""TorchServe's tokens, as it writes them at each start into its key file."""

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
