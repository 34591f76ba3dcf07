"""A report's copies: in a bucket, where it stays, and beside the model version in MLflow, where approvers look."""

from pathlib import Path

from imaging.data.sources import s3_client
from imaging.errors import ServiceError
from imaging.registry import Registry
from imaging.settings import Settings


def to_bucket(folder: Path, bucket: str, prefix: str, settings: Settings) -> str:
    """Copy a report's files to `s3://bucket/prefix/`; return that address.

    Raises:
        ServiceError: the bucket does not take them.
    """
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        client = s3_client(settings)
        for path in sorted(file for file in folder.rglob("*") if file.is_file()):
            client.upload_file(str(path), bucket, f"{prefix}/{path.relative_to(folder).as_posix()}")
    except (BotoCoreError, ClientError, Boto3Error) as error:
        raise ServiceError(f"the bucket {bucket!r} did not take the report: {type(error).__name__}") from error
    return f"s3://{bucket}/{prefix}/"


def to_registry(folder: Path, version: str, place: str, settings: Settings) -> None:
    """Put a report beside the files of a version's run, as `place`.

    Raises:
        ServiceError, AccessDeniedError: MLflow does not take it.
    """
    Registry.from_settings(settings).keep(version, folder, place)
