"""`python -m serving.feedback SOCKET`: serve the application of this home at a Unix socket until SIGTERM."""

import sys
from pathlib import Path

import uvicorn

from imaging.settings import Settings
from serving.feedback.app import application


def main() -> None:
    """Serve until told to stop; what is in hand is answered first."""
    socket = Path(sys.argv[1])
    socket.unlink(missing_ok=True)
    uvicorn.run(
        application(Settings().home),
        uds=str(socket),
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=5,
        limit_concurrency=64,
    )


if __name__ == "__main__":
    main()
