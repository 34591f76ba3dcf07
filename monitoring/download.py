"""The prediction log back from its bucket: the files of a window, for a check away from the machine that serves."""

from datetime import datetime, timedelta
from pathlib import Path, PurePosixPath

from imaging.data.sources import s3_client
from imaging.errors import ServiceError
from imaging.settings import Settings
from monitoring.prediction_rows import date_of


def download(bucket: str, parquet: Path, settings: Settings, *, since: datetime) -> int:
    """Fetch the log's files that may hold rows from `since` on to `parquet`; return how many.

    Raises:
        ServiceError: the bucket refuses or does not answer.
    """
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError

    first, fetched = (since - timedelta(days=1)).date().isoformat(), 0
    try:
        client = s3_client(settings)
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix="date="):
            for item in page.get("Contents", []):
                name = PurePosixPath(item["Key"])
                if not _is_of_the_log(name) or (date_of(Path(name)) or first) < first:
                    continue
                place = parquet / Path(*name.parts)
                place.parent.mkdir(parents=True, exist_ok=True)
                client.download_file(bucket, item["Key"], str(place))
                fetched += 1
    except (BotoCoreError, ClientError, Boto3Error) as error:
        raise ServiceError(f"the bucket {bucket!r} did not give the prediction log: {type(error).__name__}") from error
    return fetched


def _is_of_the_log(name: PurePosixPath) -> bool:
    """Whether a key is `date=…/model_version=…/….parquet`, and so no way out of the folder."""
    parts = name.parts
    kinds = len(parts) == 3 and parts[0].startswith("date=") and parts[1].startswith("model_version=")
    return kinds and name.suffix == ".parquet" and ".." not in parts
