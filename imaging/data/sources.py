"""Where images come from: a folder, a zip file, or a bucket behind the S3 API. Names are relative to it."""

from itertools import islice
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from imaging.data.archives import ZipSource
from imaging.errors import DataError, NotFoundError, ServiceError
from imaging.settings import Settings

CONNECT_TIMEOUT_S = 10
READ_TIMEOUT_S = 60


class Source(Protocol):
    """Named bytes."""

    kind: str

    def names(self) -> list[str]:
        """Return every name, sorted."""

    def folders(self) -> list[str]:
        """Return every folder that may be a class, empty ones too where the source can hold them."""

    def read(self, name: str, *, most: int) -> bytes:
        """Return the bytes, of a too large one only `most` + 1; raise FileNotFoundError where there are none."""


class FolderSource:
    """A local folder."""

    kind = "folder"

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise NotFoundError("the source is not a folder; give a folder or an s3:// address")
        self._root = root.resolve()

    def names(self) -> list[str]:
        return sorted(path.relative_to(self._root).as_posix() for path in self._root.rglob("*") if path.is_file())

    def folders(self) -> list[str]:
        paths = [path for pattern in ("*", "*/*", "*/*/*") for path in self._root.glob(pattern) if path.is_dir()]
        return sorted(path.relative_to(self._root).as_posix() for path in paths)

    def read(self, name: str, *, most: int) -> bytes:
        path = (self._root / name).resolve()
        if not path.is_relative_to(self._root) or not path.is_file():
            raise FileNotFoundError(name)
        with path.open("rb") as file:
            return file.read(most + 1)


class BucketSource:
    """A prefix of a bucket. The address and keys come from the settings, or else from boto3's own AWS_* variables."""

    kind = "s3"

    def __init__(self, uri: str, settings: Settings | None) -> None:
        parts = urlsplit(uri)
        if not parts.netloc:
            raise DataError("expected s3://bucket/prefix")
        self._bucket = parts.netloc
        prefix = parts.path.strip("/")
        self._prefix = f"{prefix}/" if prefix else ""
        self._client = s3_client(settings)

    def names(self) -> list[str]:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=self._prefix)
            keys = [item["Key"] for page in pages for item in page.get("Contents", [])]
        except (BotoCoreError, ClientError) as error:
            raise ServiceError(f"cannot list the bucket: {_reason(error)}") from error
        return sorted(key.removeprefix(self._prefix) for key in keys if not key.endswith("/"))

    def folders(self) -> list[str]:
        return []

    def read(self, name: str, *, most: int) -> bytes:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            answer = self._client.get_object(Bucket=self._bucket, Key=self._prefix + name)
            with answer["Body"] as body:
                return bytes(body.read(most + 1))
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") in {"NoSuchKey", "404"}:
                raise FileNotFoundError(name) from error
            raise ServiceError(f"the bucket refused an object: {_reason(error)}") from error
        except BotoCoreError as error:
            raise ServiceError(f"the bucket does not answer: {_reason(error)}") from error


def s3_client(settings: Settings | None) -> Any:
    """Return a boto3 client with time limits, for the settings' endpoint and keys where they are given."""
    import boto3
    from botocore.config import Config

    config = Config(
        connect_timeout=CONNECT_TIMEOUT_S,
        read_timeout=READ_TIMEOUT_S,
        retries={"max_attempts": 4, "mode": "standard"},
        max_pool_connections=16,
        s3={"addressing_style": "path"},
    )
    if settings is None or not settings.s3_endpoint:
        return boto3.client("s3", config=config)
    return boto3.client(
        "s3",
        config=config,
        endpoint_url=settings.s3_endpoint,
        region_name="us-east-1",
        aws_access_key_id=settings.s3_access_key or None,
        aws_secret_access_key=settings.s3_secret_key.get_secret_value() or None,
    )


def _reason(error: Exception) -> str:
    """Name the failure without the object's name, which can hold a patient's."""
    response = getattr(error, "response", None)
    return str(response.get("Error", {}).get("Code", "unknown")) if response else type(error).__name__


def open_source(source: str, settings: Settings | None = None) -> Source:
    """Return the source at a folder, a zip file, or an `s3://bucket/prefix` address.

    A folder that holds nothing but one zip file stands for that file.

    Raises:
        NotFoundError, DataError: not a place that can be read.
    """
    if source.startswith("s3://"):
        return BucketSource(source, settings)
    path = Path(source)
    inside = list(islice(path.iterdir(), 2)) if path.is_dir() else [path]
    if len(inside) == 1 and inside[0].suffix.lower() == ".zip" and inside[0].is_file():
        return ZipSource(inside[0])
    return FolderSource(path)


def read_labels(labels: str | Path, source: Source, settings: Settings | None = None) -> str:
    """Return the text of a label table: a local file, an s3:// address, or a name inside the source.

    Raises:
        NotFoundError: no such table. DataError: not UTF-8 text.
    """
    most = 2**30
    address = str(labels)
    try:
        if address.startswith("s3://"):
            folder, _, name = address.rpartition("/")
            data = BucketSource(folder, settings).read(name, most=most)
        elif Path(address).is_file():
            data = Path(address).read_bytes()
        else:
            data = source.read(address, most=most)
    except FileNotFoundError as error:
        raise NotFoundError("no label table there: give a file, an s3:// address, or a name in the source") from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError("the label table is not UTF-8 text") from error
