"""The prediction log's second place: its Parquet files, copied to a bucket.

Level-triggered: what the bucket does not hold at the file's length is sent, so an upload that was cut off, doubled or
lost is mended by the next. A file is named for the bytes that it came from and never grows, and whoever reads the log
takes each request once: sending a file again changes nothing.
"""

from dataclasses import dataclass
from pathlib import Path

from imaging.data.sources import s3_client
from imaging.errors import ServiceError
from imaging.settings import Settings

PARTITIONS = "date=*/model_version=*/*.parquet"


@dataclass(frozen=True, kw_only=True, slots=True)
class Uploaded:
    """What one upload did."""

    sent: int
    """Files that the bucket did not hold."""
    held: int
    """Files that it held already."""


def upload(parquet: Path, bucket: str, settings: Settings) -> Uploaded:
    """Send the files of the log at `parquet` that `bucket` lacks, under the same names; safe to repeat.

    Nothing is ever taken away, there or here: a file that the bucket alone holds stays.

    Raises:
        ServiceError: the bucket refuses or does not answer; what was sent until then stays there.
    """
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError

    files = {path.relative_to(parquet).as_posix(): path for path in sorted(parquet.glob(PARTITIONS))}
    if not files:
        return Uploaded(sent=0, held=0)
    try:
        client = s3_client(settings)
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix="date=")
        there = {item["Key"]: item["Size"] for page in pages for item in page.get("Contents", [])}
        missing = [name for name, path in files.items() if there.get(name) != path.stat().st_size]
        for name in missing:
            client.upload_file(str(files[name]), bucket, name)
    except (BotoCoreError, ClientError, Boto3Error) as error:
        raise ServiceError(f"the bucket {bucket!r} did not take the prediction log: {type(error).__name__}") from error
    return Uploaded(sent=len(missing), held=len(files) - len(missing))
