"""Archives that a stranger made: nothing is written outside, and what is unsafe is refused whole."""

import io
import tarfile
from pathlib import Path

import pytest

from imaging.data.public.unpacking import UnpackLimits, unpack
from imaging.errors import DataError

NOISE = bytes(range(256)) * 4000


def tar_of(members: list[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as tar:
        for info, data in members:
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return file.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


UNSAFE_TARS = {
    "../out.tar.gz": tar_of([(member("../evil"), b"x")]),
    "absolute.tar.gz": tar_of([(member("/tmp/evil"), b"x")]),
    "link.tar.gz": tar_of([(member("a", tarfile.SYMTYPE, "/etc"), b""), (member("a/passwd"), b"x")]),
    "hard.tar.gz": tar_of([(member("a", tarfile.LNKTYPE, "/etc/passwd"), b"")]),
    "device.tar.gz": tar_of([(member("a", tarfile.CHRTYPE), b"")]),
    "fifo.tar.gz": tar_of([(member("a", tarfile.FIFOTYPE), b"")]),
    "twice.tar.gz": tar_of([(member("a"), b"x"), (member("a"), b"y")]),
    "bomb.tar.gz": tar_of([(member("a"), bytes(2**22))]),
    "many.tar.gz": tar_of([(member(f"{i}"), b"") for i in range(60)]),
    "cut.tar.gz": tar_of([(member("a"), NOISE)])[:-900],
}


UNSAFE_ZIPS = {
    "out.zip": {"entries": {"../evil": b"x"}},
    "back.zip": {"entries": {"..\\evil": b"x"}},
    "link.zip": {"entries": {"a": b"/etc"}, "mode": 0o120777},
    "bomb.zip": {"entries": {"a": bytes(2**22)}},
    "cut.zip": {"entries": {"a": NOISE}, "cut": 30},
}


@pytest.mark.parametrize("name", [*UNSAFE_TARS, *UNSAFE_ZIPS])
def test_an_unsafe_or_damaged_archive_writes_nothing_outside_and_is_refused(tmp_path, make_zip, name):
    archive = tmp_path / "archives" / Path(name).name
    archive.parent.mkdir()
    archive.write_bytes(UNSAFE_TARS[name] if name in UNSAFE_TARS else make_zip(**UNSAFE_ZIPS[name]))
    (tmp_path / "in").mkdir()
    with pytest.raises(DataError):
        unpack(archive, tmp_path / "in", UnpackLimits(files=50, bytes=2**21))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["archives", "in"]
    assert not any(path.is_symlink() for path in (tmp_path / "in").rglob("*"))


def test_ordinary_archives_are_unpacked_without_their_clutter(tmp_path, make_zip):
    entries = {
        "photos/a/1.jpg": b"one",
        "photos/b/2.jpg": b"two",
        "__MACOSX/photos/._1": b"no",
        "photos/.DS_Store": b"",
    }
    (tmp_path / "x.zip").write_bytes(make_zip(entries))
    (tmp_path / "x.tgz").write_bytes(tar_of([(member(name), data) for name, data in entries.items()]))
    for archive in ("x.zip", "x.tgz"):
        assert unpack(tmp_path / archive, tmp_path / archive[2:]) == 2
        assert (tmp_path / archive[2:] / "photos" / "b" / "2.jpg").read_bytes() == b"two"
