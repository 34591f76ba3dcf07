"""`python -m serving.controller`: reconcile every second until SIGTERM, telling what changed as JSON lines.

With `--deployment NAMESPACE/NAME` the pods of that Kubernetes Deployment follow the champion, else the TorchServe here.
"""

import argparse
import contextlib
import json
import logging
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime

from audit import AuditLog, default_folder
from audit.errors import AuditError
from imaging.errors import ThoraxError
from imaging.settings import Settings
from serving.notification.outbox import Outbox
from serving.release.reconciling import reconcile
from serving.release.surroundings import ReleaseResult

PERIOD_S = 1.0
LONGEST_PAUSE_S = 30.0
NOTIFY_EVERY_S = 5.0

logger = logging.getLogger("thorax.controller")


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, event and its fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; a line break inside a value is escaped by JSON."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info and record.exc_info[0]:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class Controller:
    """Calls `reconcile` again and again; waits longer while something fails."""

    def __init__(
        self, settings: Settings, stop: threading.Event, look: Callable[[Settings], ReleaseResult] = reconcile
    ) -> None:
        """`stop` ends the loop between two reconciliations, and the pause at once; `look` is one of them."""
        self._settings = settings
        self._stop = stop
        self._look = look
        self._last: ReleaseResult | str | None = None

    def run(self) -> None:
        """Loop until told to stop."""
        failures = 0
        while not self._stop.is_set():
            failures = 0 if self.step() else failures + 1
            self._stop.wait(pause_s(failures))

    def step(self) -> bool:
        """Reconcile once; return whether it went well. Nothing ends the loop but the stop."""
        try:
            result = self._look(self._settings)
        except (ThoraxError, AuditError) as error:
            self._tell("release.failed", f"{error.code}: {error}", {"code": error.code, "reason": str(error)})
            return False
        except Exception as error:  # a controller that dies of one bad answer keeps nothing serving
            self._tell("release.crashed", f"{type(error).__name__}: {error}", {"reason": type(error).__name__}, error)
            return False
        fields = {name: value for name, value in asdict(result).items() if value}
        self._tell(f"release.{result.outcome}", result, fields)
        return result.outcome != "unavailable"

    def _tell(
        self, event: str, what: ReleaseResult | str, fields: dict[str, str], error: Exception | None = None
    ) -> None:
        """Log what is news; the same state is told once."""
        if what != self._last:
            logger.info(event, extra={"fields": fields}, exc_info=error)
        self._last = what


def keep_notifying(settings: Settings, stop: threading.Event) -> None:
    """Tell people what waits or went wrong, beside the releases and never in their way."""
    page = f"{settings.mlflow_uri}/#/models/chest-xray" if settings.mlflow_uri else ""
    outbox = Outbox(home=settings.home, log=AuditLog(default_folder(settings.home)), page=page)
    last = ""
    while not stop.wait(NOTIFY_EVERY_S):
        problem = ""
        try:
            outbox.deliver()
        except (ThoraxError, AuditError) as error:
            problem = f"{error.code}: {error}"
        except Exception as error:  # as above: the next look may go well
            problem = type(error).__name__
        if problem and problem != last:
            logger.warning("notification.failed", extra={"fields": {"reason": problem}})
        last = problem


def pause_s(failures: int) -> float:
    """Return the pause after so many failures in a row: doubling, bounded."""
    return min(PERIOD_S * 2.0 ** min(failures, 10), LONGEST_PAUSE_S)


def main() -> int:
    """Run until SIGTERM or SIGINT; a release under way is finished first, within the server's grace or later."""
    parser = argparse.ArgumentParser(prog="python -m serving.controller")
    parser.add_argument("--deployment", default="", metavar="NAMESPACE/NAME", help="follow on a cluster")
    deployment = parser.parse_args().deployment
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    for noisy in ("httpx", "httpcore", "urllib3", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    logger.info("controller.started")
    settings = Settings()
    threading.Thread(target=keep_notifying, args=(settings, stop), name="notifications", daemon=True).start()
    look, leave = _look_of(deployment)
    Controller(settings, stop, look).run()
    with contextlib.suppress(ThoraxError):  # what is not let go runs out by itself
        leave()
    logger.info("controller.stopped")
    return 0


def _look_of(deployment: str) -> tuple[Callable[[Settings], ReleaseResult], Callable[[], None]]:
    """Return one reconciliation, of the TorchServe here or of a cluster's pods, and what is done after the last."""
    if not deployment:
        return reconcile, lambda: None
    from serving.release.deployment import DeploymentTarget, connect
    from serving.release.lease import Lease
    from serving.release.on_cluster import reconcile_on_cluster

    namespace, _, name = deployment.rpartition("/")
    target = DeploymentTarget(namespace or "default", name)
    lease = Lease(namespace or "default", f"{name}-release", api=connect().CoordinationV1Api())
    return lambda settings: reconcile_on_cluster(settings, target, lease), lease.release


if __name__ == "__main__":
    sys.exit(main())
