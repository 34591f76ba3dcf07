"""Asks a server as fast as so many callers can who wait for their answers."""

import http.client
import threading
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from imaging.errors import ServiceError


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """Where a server answers, and with which headers."""

    url: str
    headers: dict[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """One run of requests.

    Attributes:
        rate: Answers a second.
        seconds: Of each request, in rising order.
    """

    rate: float
    seconds: tuple[float, ...]

    def quantile(self, share: float) -> float:
        """Return the latency in seconds that so large a share of the requests stays within."""
        return self.seconds[min(len(self.seconds) - 1, int(share * len(self.seconds)))]


def ask(target: Target, body: bytes, *, callers: int, requests: int) -> Measured:
    """Send `requests` requests from `callers` threads, each with one connection that it keeps.

    Raises:
        ServiceError: an answer was not 200, or none came.
    """
    left, lock, seconds, problems = [requests], threading.Lock(), [], []

    def call() -> None:
        connection = http.client.HTTPConnection(urlsplit(target.url).netloc, timeout=120)
        try:
            while _take(left, lock):
                begin = time.perf_counter()
                connection.request("POST", urlsplit(target.url).path, body, target.headers)
                answer = connection.getresponse()
                text = answer.read()
                seconds.append(time.perf_counter() - begin)
                if answer.status != 200:
                    problems.append(f"{answer.status}: {text[:200]!r}")
                    return
        except OSError as error:
            problems.append(type(error).__name__)
        finally:
            connection.close()

    threads = [threading.Thread(target=call) for _ in range(callers)]
    begin = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if problems:
        raise ServiceError(f"{target.url} answered {problems[0]}")
    return Measured(rate=requests / (time.perf_counter() - begin), seconds=tuple(sorted(seconds)))


def _take(left: list[int], lock: threading.Lock) -> bool:
    with lock:
        left[0] -= 1
        return left[0] >= 0
