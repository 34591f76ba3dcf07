"""Decoding away from the server: the same squares, and nothing that one image does reaches another."""

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydicom import dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless

from imaging.dicom.pixels import Limits
from imaging.errors import ImageTooLargeError, MalformedImageError, ServiceError
from serving.decoding.decoders import Decoders, DecodingLimits
from serving.decoding.square import (
    LENGTH,
    REFUSALS,
    DecodedSquare,
    Encoded,
    decode_square,
    from_json,
    to_message,
)
from tests.serving.factories import bad_bytes, chest, dicom, jpeg, png

SIZE = 64
FILES = {"dicom": dicom(), "png": png(chest(1, side=300)), "jpeg": jpeg(chest(2, side=200))}


@pytest.fixture
def decoders() -> Iterator[Decoders]:
    pool = Decoders(DecodingLimits(image=Limits()), count=2)
    yield pool
    pool.close()


def _pids(pool: Decoders) -> list[int]:
    """The numbers of the processes, none of which may be at work."""
    processes = [pool._free.get() for _ in range(pool._count)]
    for process in processes:
        pool._free.put(process)
    return [process._process.pid for process in processes if process is not None]


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _gone(pids: list[int]) -> bool:
    """Wait until none of these processes runs."""
    deadline = time.monotonic() + 20
    while any(map(_is_alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not any(map(_is_alive, pids))


def _slow_dicom(side: int = 1500) -> bytes:
    """JPEG 2000 of noise, which takes a decoder some tenths of a second."""
    data = dcmread(io.BytesIO(dicom()))
    noise = np.random.default_rng(0).integers(0, 4096, (side, side), dtype=np.uint16)
    data.Rows = data.Columns = side
    data.PixelData = encapsulate([imagecodecs.jpeg2k_encode(noise, codecformat="j2k", level=0, reversible=True)])
    data["PixelData"].is_undefined_length = True
    data.file_meta.TransferSyntaxUID = JPEG2000Lossless
    file = io.BytesIO()
    data.save_as(file, enforce_file_format=True)
    return file.getvalue()


def test_the_squares_are_those_of_decoding_here(decoders):
    images = [Encoded(data=data) for data in FILES.values()]
    for found, image in zip(decoders.decode(images, SIZE), images, strict=True):
        expected = decode_square(image, SIZE, Limits())
        assert np.array_equal(found.pixels, expected.pixels)
        assert [getattr(found, one.name) for one in fields(found)[1:]] == [
            getattr(expected, one.name) for one in fields(expected)[1:]
        ]


def test_many_images_at_once_keep_their_order_and_their_own_errors(decoders):
    bad = [(Encoded(data=data), code) for data, _, code in bad_bytes().values()]
    good = [Encoded(data=png(chest(seed, side=120))) for seed in range(len(bad))]
    mixed = [image for pair in zip(good, (image for image, _ in bad), strict=True) for image in pair]
    found = Decoders(DecodingLimits(image=Limits(max_pixels=40_000)), count=2).decode(mixed, SIZE)
    for image, answer in zip(good, found[::2], strict=True):
        assert np.array_equal(answer.pixels, decode_square(image, SIZE, Limits()).pixels)
    assert [error.code for error in found[1::2]] == [code for _, code in bad]


def test_an_image_that_takes_too_long_is_refused_and_the_process_replaced():
    pool = Decoders(DecodingLimits(image=Limits(), seconds=0.01), count=1)
    before = _pids(pool)
    [refusal] = pool.decode([Encoded(data=_slow_dicom())], SIZE)
    assert isinstance(refusal, ImageTooLargeError)
    assert "longer than 0.01 s" in str(refusal)
    assert _gone(before)
    assert all(map(_is_alive, _pids(pool)))
    pool.close()


def test_a_process_that_hangs_is_ended_and_replaced():
    pool = Decoders(DecodingLimits(image=Limits(), seconds=0.5), count=1)
    assert isinstance(pool.decode([Encoded(data=FILES["png"])], SIZE)[0], DecodedSquare)
    before = _pids(pool)
    os.kill(before[0], signal.SIGSTOP)
    assert isinstance(pool.decode([Encoded(data=FILES["png"])], SIZE)[0], ImageTooLargeError)
    assert _gone(before)
    assert isinstance(pool.decode([Encoded(data=FILES["png"])], SIZE)[0], DecodedSquare)
    pool.close()


def test_an_image_too_large_for_the_memory_is_refused_and_the_next_one_is_not():
    pool = Decoders(DecodingLimits(image=Limits(), memory_bytes=400 * 2**20), count=1)
    file = io.BytesIO()
    Image.new("L", (7000, 7000), 7).save(file, "PNG")
    refusal, square = pool.decode([Encoded(data=file.getvalue()), Encoded(data=FILES["png"])], SIZE)
    assert isinstance(refusal, ImageTooLargeError)
    assert "memory" in str(refusal)
    assert isinstance(square, DecodedSquare)
    pool.close()


def test_a_killed_process_costs_a_second_try_and_a_crash_a_refusal(decoders):
    for kind, answer in ((signal.SIGKILL, DecodedSquare), (signal.SIGSEGV, MalformedImageError)):
        decoders.decode([Encoded(data=FILES["png"])] * 2, SIZE)
        for pid in _pids(decoders):
            os.kill(pid, kind)
        found = decoders.decode([Encoded(data=FILES["png"])] * 2, SIZE)
        assert {type(one) for one in found} == {answer}
    assert {type(one) for one in decoders.decode([Encoded(data=FILES["png"])] * 2, SIZE)} == {DecodedSquare}


def test_without_memory_for_another_process_the_caller_is_asked_to_try_again(decoders, monkeypatch):
    for pid in _pids(decoders):
        os.kill(pid, signal.SIGKILL)

    def refuse(*_args: object, **_options: object) -> None:
        raise OSError("no more")

    with monkeypatch.context() as patch:
        patch.setattr(subprocess, "Popen", refuse)
        assert {type(one) for one in decoders.decode([Encoded(data=FILES["png"])] * 2, SIZE)} == {ServiceError}
    assert isinstance(decoders.decode([Encoded(data=FILES["png"])], SIZE)[0], DecodedSquare)


def test_a_decoding_process_has_no_secret_and_writes_no_file(decoders, monkeypatch):
    monkeypatch.setenv("THORAX_S3_SECRET_KEY", "not for a decoder")
    pool = Decoders(DecodingLimits(image=Limits()), count=1)
    pool.decode([Encoded(data=FILES["png"])], SIZE)
    [pid] = _pids(pool)
    names = {one.split(b"=")[0] for one in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0") if one}
    assert names == {b"PYTHONPATH", b"OMP_NUM_THREADS", b"OPENBLAS_NUM_THREADS"}
    limits = Path(f"/proc/{pid}/limits").read_text().splitlines()
    assert [line[26:].split()[:2] for line in limits if line.startswith(("Max file size", "Max core"))] == [
        ["0", "0"]
    ] * 2
    pool.close()


def test_no_process_outlives_the_pool_or_a_server_that_was_killed(decoders):
    pids = _pids(decoders)
    decoders.close()
    assert _gone(pids)
    program = (
        "import sys, time\n"
        "from imaging.dicom.pixels import Limits\n"
        "from serving.decoding.decoders import Decoders, DecodingLimits\n"
        "from tests.serving.test_decoders import _pids\n"
        "pool = Decoders(DecodingLimits(image=Limits()), count=2)\n"
        "sys.stdout.write(' '.join(map(str, _pids(pool))) + '\\n')\n"
        "sys.stdout.flush()\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as server:
        pids = [int(one) for one in server.stdout.readline().split()]
        server.kill()
    assert len(pids) == 2
    assert _gone(pids)


@given(
    st.one_of(
        st.builds(
            DecodedSquare,
            pixels=st.binary(min_size=16, max_size=16).map(lambda raw: np.frombuffer(raw, np.uint8).reshape(4, 4)),
            media_type=st.text(),
            sha256=st.text(),
            rows=st.integers(),
            columns=st.integers(),
            view=st.text(),
            site=st.text(),
            warnings=st.lists(st.text()).map(tuple),
        ),
        st.builds(lambda kind, detail: kind(detail), st.sampled_from(list(REFUSALS.values())), st.text()),
    )
)
def test_every_outcome_survives_the_pipe(outcome):
    message = to_message(outcome, 4)
    (length,) = LENGTH.unpack(message[: LENGTH.size])
    text, pixels = message[LENGTH.size : LENGTH.size + length], message[LENGTH.size + length :]
    found = from_json(text, np.frombuffer(pixels, np.uint8).reshape(4, 4))
    assert to_message(found, 4) == message
    assert type(found) is type(outcome)


def test_what_is_kept_of_an_image_names_nobody():
    assert not {one.name for one in fields(DecodedSquare)} & {"patient_id", "sex", "age_years"}
