"""A zip file as a source of images, read in place: nothing of it is unpacked."""

import threading
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from imaging.errors import DataError


class ZipSource:
    """The files in a zip file."""

    kind = "zip"

    def __init__(self, path: Path) -> None:
        try:
            self._zip = zipfile.ZipFile(path)
        except (OSError, zipfile.BadZipFile) as error:
            raise DataError("the source is not a zip file that can be read") from error
        # Processes forked from this one share the file's position: each opens the file for itself.
        self._path, self._own = path, threading.local()

    def names(self) -> list[str]:
        """Return every name, sorted."""
        return sorted(info.filename for info in self._zip.infolist() if not info.is_dir())

    def folders(self) -> list[str]:
        """Return every folder."""
        folders = {str(parent) for name in self.names() for parent in PurePosixPath(name).parents}
        return sorted((folders | {info.filename.rstrip("/") for info in self._zip.infolist() if info.is_dir()}) - {"."})

    def read(self, name: str, *, most: int) -> bytes:
        """Return the bytes, of a too large one only `most` + 1; FileNotFoundError where there are none."""
        try:
            with self._opened().open(name) as file:
                return file.read(most + 1)
        except KeyError as error:
            raise FileNotFoundError(name) from error
        except (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError, EOFError) as error:
            raise OSError(f"the zip entry is damaged or encrypted ({type(error).__name__})") from error

    def _opened(self) -> zipfile.ZipFile:
        """Return this thread's and process's own zip file."""
        import os

        if getattr(self._own, "process", None) != os.getpid():
            self._own.process, self._own.zip = os.getpid(), zipfile.ZipFile(self._path)
        opened: zipfile.ZipFile = self._own.zip
        return opened
