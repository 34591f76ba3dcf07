"""A process that trains trials, one after the other: orders on stdin, news on stdout, one JSON document a line.

Orders: `{"config", "work"}` starts one; `{"go": true|false}` answers an epoch; SIGINT interrupts a training.
News: `{"ready"}`, `{"epoch": {...}}`, `{"end": {...}}`, `{"interrupted"}`, `{"broken": {"code", "message"}}`.
The process ends with the one that started it: when its stdin closes, whatever it is doing.
"""

import json
import os
import queue
import signal
import sys
import threading
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from imaging.config import TrainConfig
from imaging.errors import ThoraxError
from imaging.settings import Settings
from imaging.tuning.trial import run_trial

if TYPE_CHECKING:
    from imaging.training import EpochResult


class Worker:
    """One conversation with the search that started this process."""

    def __init__(self, orders: IO[str], news: IO[str], given: dict[str, Any]) -> None:
        self._orders: queue.Queue[dict[str, Any]] = queue.Queue()
        self._news = news
        self._given = given
        self._settings = Settings()
        threading.Thread(target=self._listen, args=(orders,), daemon=True).start()

    def run(self) -> None:
        """Train what is ordered, for ever."""
        self._tell({"ready": True})
        while True:
            order = self._orders.get()
            try:
                signal.signal(signal.SIGINT, signal.default_int_handler)
                news = self._train(order)
                signal.signal(signal.SIGINT, signal.SIG_IGN)
            except KeyboardInterrupt:
                signal.signal(signal.SIGINT, signal.SIG_IGN)
                news = {"interrupted": True}
            self._tell(news)

    def _train(self, order: dict[str, Any]) -> dict[str, Any]:
        """Train one trial and return what there is to tell of its end."""
        given = self._given
        try:
            outcome = run_trial(
                TrainConfig.model_validate(order["config"]),
                Path(given["dataset"]),
                Path(given["split"]),
                Path(order["work"]),
                metric=given["metric"],
                settings=self._settings,
                on_epoch=self._ask,
            )
        except ThoraxError as error:
            return {"broken": {"code": error.code, "message": str(error)}}
        return {"end": outcome.model_dump(mode="json")}

    def _ask(self, result: "EpochResult") -> bool:
        """Tell an epoch and return whether to go on."""
        self._tell({"epoch": result.model_dump(mode="json")})
        return bool(self._orders.get()["go"])

    def _tell(self, news: dict[str, Any]) -> None:
        self._news.write(json.dumps(news) + "\n")
        self._news.flush()

    def _listen(self, orders: IO[str]) -> None:
        for line in orders:
            self._orders.put(json.loads(line))
        os._exit(1)  # whoever ordered is gone; nothing here is worth finishing


def main() -> None:
    """Run a worker; all that libraries print goes to stderr."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    news = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    given = json.loads(sys.argv[1])
    _use_own_gpu(int(given["index"]))
    Worker(sys.stdin, news, given).run()


def _use_own_gpu(index: int) -> None:
    """Share out the GPUs among the workers, where there are several."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.set_device(index % torch.cuda.device_count())


if __name__ == "__main__":
    main()
