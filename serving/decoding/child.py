"""`python -m serving.decoding.child FD MEMORY`: decodes one image after the other, within limits, until its pipe ends.

An `Order` comes as a line of JSON on standard input; the image's bytes lie in the file FD, which both sides share. Its
answer on standard output is what `to_message` makes of it. What hostile
bytes could do to a codec shall not take the server with it: the address space is limited, no file and no core is
written, no connection opened and no program started (where the kernel has filters), no secret is in the environment,
and an alarm that nothing here catches ends the process when one image takes too long, wherever in a codec that is.
"""

import json
import os
import resource
import signal
import sys
from typing import BinaryIO

from imaging.allocation import keep_memory
from imaging.dicom.pixels import Limits
from imaging.errors import InvalidImageError, MalformedImageError
from serving.decoding.confinement import confine
from serving.decoding.square import READY, DecodedSquare, Encoded, Order, decode_square, to_message

MOST_FILES = 64


def limit(memory_bytes: int) -> None:
    """Give up what decoding does not need; there is no way back."""
    for kind, most in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, MOST_FILES),
    ):
        resource.setrlimit(kind, (most, most))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def outcome_of(order: Order, shared: int) -> DecodedSquare | InvalidImageError:
    """Decode the image that an order is about; whatever happens becomes a refusal."""
    image = Encoded(data=os.pread(shared, order.length, 0), media_type=order.media_type)
    try:
        return decode_square(image, order.size, Limits(max_bytes=order.max_bytes, max_pixels=order.max_pixels))
    except InvalidImageError as error:
        return error
    except Exception:  # the border to the codecs: what they raise for hostile bytes is a refusal
        return MalformedImageError("the image could not be decoded")


def serve(shared: int, orders: BinaryIO, answers: BinaryIO) -> None:
    """Say that the process is ready, then answer orders until there are no more."""
    answers.write(READY)
    answers.flush()
    for line in orders:
        order = Order(**json.loads(line))
        signal.setitimer(signal.ITIMER_REAL, order.seconds)
        outcome = outcome_of(order, shared)
        signal.setitimer(signal.ITIMER_REAL, 0)
        answers.write(to_message(outcome, order.size))
        answers.flush()


if __name__ == "__main__":
    limit(int(sys.argv[2]))
    confine()
    keep_memory()  # every image needs as much again
    serve(int(sys.argv[1]), sys.stdin.buffer, sys.stdout.buffer)
