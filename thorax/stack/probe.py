"""`python -I …/probe.py torchserve|edge`: the readiness probe of a serving pod's container, in some 30 ms.

The standard library alone, since a probe runs every few seconds. TorchServe is ready while a worker of the model is;
the edge is while it refuses a caller without a token. A container that answers neither for long is started again.
"""

import http.client
import json
import os
import sys
from pathlib import Path
from typing import Any

TIMEOUT_S = 4
MODEL = "chest-xray"


def ask(port: int, path: str, token: str = "") -> tuple[int, Any]:
    """Return status and JSON of a loopback address."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"} if token else {})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read() or b"null")
    finally:
        connection.close()


def torchserve(home: Path, port: int) -> bool:
    """Whether a worker is READY; without a model there is nothing to be ready for."""
    keys = json.loads((home / "torchserve" / "key_file.json").read_text(encoding="utf-8"))
    status, versions = ask(port, f"/models/{MODEL}", keys["management"]["key"])
    return status == 200 and any(one["status"] == "READY" for version in versions for one in version["workers"])


def edge(_home: Path, port: int) -> bool:
    """Whether it refuses a stranger."""
    return ask(port, "/ping")[0] == 401


PARTS = {"torchserve": (torchserve, 8081), "edge": (edge, 8080)}


def main() -> int:
    """Return 0 where the part is ready."""
    look, port = PARTS[sys.argv[1]]
    try:
        return 0 if look(Path(os.environ["THORAX_HOME"]), int(sys.argv[2]) if len(sys.argv) > 2 else port) else 1
    except (OSError, ValueError, KeyError, TypeError, http.client.HTTPException) as error:
        sys.stderr.write(f"{type(error).__name__}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
