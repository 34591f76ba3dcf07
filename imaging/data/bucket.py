"""Dataset versions in a bucket: published once, by name, and fetched whole or not at all."""

from pathlib import Path

from imaging.atomic import new_directory
from imaging.data.dataset import MANIFEST, Dataset, load_dataset
from imaging.data.sources import BucketSource, s3_client
from imaging.errors import NotFoundError, ServiceError
from imaging.settings import Settings

BUCKET = "datasets"
LARGEST = 2**40


def publish(version: Path, settings: Settings, *, bucket: str = BUCKET) -> str:
    """Put a dataset version into the bucket, its manifest last; do nothing where it is already.

    A version's name ends in its digest, so what has its manifest there has all of its files.

    Returns:
        The version's `s3://` address.

    Raises:
        ServiceError: the bucket refuses or does not answer.
    """
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError

    dataset = load_dataset(version)
    name = f"{dataset.manifest['name']}-{dataset.digest[7:19]}"
    client = s3_client(settings)
    try:
        found = client.list_objects_v2(Bucket=bucket, Prefix=f"{name}/{MANIFEST}", MaxKeys=1)
        if not found.get("KeyCount"):
            files = sorted(path for path in version.iterdir() if path.is_file() and path.name != MANIFEST)
            for path in [*files, version / MANIFEST]:
                client.upload_file(str(path), bucket, f"{name}/{path.name}")
    except (BotoCoreError, ClientError, Boto3Error) as error:
        raise ServiceError(f"the bucket {bucket!r} did not take the dataset version: {type(error).__name__}") from error
    return f"s3://{bucket}/{name}"


def is_version(uri: str, settings: Settings) -> bool:
    """Say whether an `s3://` address holds a dataset version, and not images."""
    try:
        return bool(BucketSource(uri, settings).read(MANIFEST, most=1))
    except FileNotFoundError:
        return False


def fetch(uri: str, folder: Path, settings: Settings) -> Dataset:
    """Bring a published version into `folder` and check every byte of it.

    Raises:
        NotFoundError: there is no version at `uri`. DataError: what came is not what its name says.
    """
    source = BucketSource(uri, settings)
    names = source.names()
    if MANIFEST not in names:
        raise NotFoundError(f"no dataset version at {uri}; `thorax data ingest` makes and publishes one")
    target = folder / uri.rstrip("/").rsplit("/", 1)[-1]
    if not target.is_dir():
        with new_directory(target) as new:
            for name in names:
                (new / name).write_bytes(source.read(name, most=LARGEST))
            load_dataset(new, check_digest=True)
    return load_dataset(target)
