"""`Decoders`: a few processes that decode, at the same time and away from the network.

One that crashes, hangs or outgrows its memory costs the request that it had, which is refused, and is replaced. One
that somebody else killed costs a second try.
"""

import contextlib
import json
import logging
import os
import queue
import select
import signal
import subprocess
import sys
import time
import weakref
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass

import numpy as np

from imaging.dicom.pixels import Limits
from imaging.errors import ImageTooLargeError, InvalidImageError, MalformedImageError, ServiceError
from serving.decoding.square import LENGTH, READY, DecodedSquare, Encoded, Order, from_json

logger = logging.getLogger(__name__)

START_S = 60.0
"""Within which a process must have its modules."""
GRACE_S = 2.0
"""How much longer than its own alarm a process is waited for."""
TRIES = 2
BUSY = "the image could not be decoded now; try again"
MOST_PROCESSES = 4
"""As many as a batch has images."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DecodingLimits:
    """The most that decoding one image may take."""

    image: Limits
    seconds: float = 20.0
    memory_bytes: int = 3 * 2**30
    """Of address space: an image of 60 million pixels takes 1.1 GiB on its way."""


class ProcessEndedError(Exception):
    """A decoding process ended, or was ended, with an order in its hands."""

    def __init__(self, status: int) -> None:
        """Keep the exit status, which is minus the signal's number for one that was ended by it."""
        super().__init__(status)
        self.status = status


class DecoderProcess:
    """One process, and the file through which it is given images."""

    def __init__(self, limits: DecodingLimits) -> None:
        self._limits = limits
        self._shared = os.memfd_create("image")
        arguments = [str(self._shared), str(limits.memory_bytes)]
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "serving.decoding.child", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            cwd="/",
            env={"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            pass_fds=(self._shared,),
        )
        if self._process.stdin is None or self._process.stdout is None:
            raise ServiceError("a decoding process has no pipes")
        self._orders, self._answers = self._process.stdin, self._process.stdout
        self._poll = select.poll()
        self._poll.register(self._answers, select.POLLIN)
        self._is_ready = False
        self._end = weakref.finalize(self, _end, self._process, self._shared)

    def decode(self, image: Encoded, size: int) -> DecodedSquare | InvalidImageError:
        """Have one image decoded.

        Raises:
            ProcessEndedError: the process is gone and must be replaced.
        """
        if not self._is_ready:
            self._read(len(READY), time.monotonic() + START_S)
            self._is_ready = True
        self._share(image.data)
        limits = self._limits
        order = Order(
            length=len(image.data),
            media_type=image.media_type,
            size=size,
            max_bytes=limits.image.max_bytes,
            max_pixels=limits.image.max_pixels,
            seconds=limits.seconds,
        )
        try:
            self._orders.write(json.dumps(asdict(order)).encode() + b"\n")
        except BrokenPipeError as error:
            raise self._ended() from error
        deadline = time.monotonic() + limits.seconds + GRACE_S
        (length,) = LENGTH.unpack(self._read(LENGTH.size, deadline))
        facts = self._read(length, deadline)
        pixels = np.frombuffer(self._read(size * size, deadline), np.uint8)
        return from_json(facts, pixels.reshape(size, size))

    def end(self) -> None:
        """End the process."""
        self._end()

    def _share(self, data: bytes) -> None:
        """Put an image where the process reads it, over the last one: new memory would cost more than the copy."""
        written = 0
        while written < len(data):
            written += os.pwrite(self._shared, memoryview(data)[written:], written)

    def _read(self, count: int, deadline: float) -> bytes:
        found = b""
        while len(found) < count:
            if not self._poll.poll(max(deadline - time.monotonic(), 0) * 1000):
                self.end()
                raise ProcessEndedError(-signal.SIGALRM)
            some = self._answers.read(count - len(found))
            if not some:
                raise self._ended()
            found += some
        return found

    def _ended(self) -> ProcessEndedError:
        """Find out how the process ended."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(GRACE_S)
        status = self._process.poll()
        self.end()
        return ProcessEndedError(-signal.SIGKILL if status is None else status)


def _end(process: "subprocess.Popen[bytes]", shared: int) -> None:
    """End a process and everything that was for it."""
    process.kill()
    process.wait(GRACE_S)
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    os.close(shared)


class Decoders:
    """Processes that decode; closed, and gone with whoever made it.

    Args:
        limits: The most that one image may take.
        count: How many processes, so how many images at the same time.
    """

    def __init__(self, limits: DecodingLimits, *, count: int = 0) -> None:
        self._limits = limits
        count = count or min(os.cpu_count() or 1, MOST_PROCESSES)
        self._free: queue.SimpleQueue[DecoderProcess | None] = queue.SimpleQueue()
        for _ in range(count):
            self._free.put(DecoderProcess(limits))
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="decode")
        self._count = count

    def decode(self, images: Sequence[Encoded], size: int) -> list[DecodedSquare | InvalidImageError | ServiceError]:
        """Decode images at the same time; each gets its square or its own error.

        Args:
            images: Whole files.
            size: Side of the squares, in pixels.
        """
        return list(self._threads.map(lambda image: self._decode(image, size), images))

    def close(self) -> None:
        """End the processes, those at work after their image."""
        self._threads.shutdown()
        while self._count:
            self._count -= 1
            process = self._free.get()
            if process is not None:
                process.end()

    def _decode(self, image: Encoded, size: int) -> DecodedSquare | InvalidImageError | ServiceError:
        process, tries = self._free.get(), TRIES
        try:
            while True:
                tries -= 1
                try:
                    process = process or DecoderProcess(self._limits)
                    return process.decode(image, size)
                except ProcessEndedError as ended:
                    process = None
                    if not tries or ended.status != -signal.SIGKILL:
                        return self._refusal(ended.status)
        except OSError as error:  # no memory or no descriptors for another process
            logger.warning("a decoding process could not be used: %s", type(error).__name__)
            process = None
            return ServiceError(BUSY)
        finally:
            self._free.put(process or self._another())

    def _another(self) -> DecoderProcess | None:
        """Start a process for the next image, so that it need not wait; where that fails, it tries again itself."""
        with contextlib.suppress(OSError):
            return DecoderProcess(self._limits)
        return None

    def _refusal(self, status: int) -> InvalidImageError | ServiceError:
        logger.warning("a decoding process ended with status %d", status)
        if status == -signal.SIGALRM:
            return ImageTooLargeError(f"decoding took longer than {self._limits.seconds:g} s; send a smaller image")
        if status == -signal.SIGKILL or status > 0:
            return ServiceError(BUSY)
        return MalformedImageError("the image could not be decoded")
