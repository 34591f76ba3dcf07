"""Dataset versions in a bucket: published once, by name, and fetched whole or not at all."""

import re
from pathlib import Path
from typing import Any

from imaging.atomic import new_directory
from imaging.data.dataset import IMAGES, MANIFEST, REPORTS, TABLE, Dataset, checked_manifest, load_dataset
from imaging.data.sources import BucketSource, s3_client
from imaging.errors import DataError, NotFoundError, ServiceError
from imaging.settings import Settings

BUCKET = "datasets"
LARGEST = 2**40
LARGEST_MANIFEST = 2**26
PLAIN_NAME = re.compile(r"\w[\w.-]{0,199}")


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
    """Bring a published version into `folder`, as `<name>-<digest>`, and check every byte of it.

    The manifest at the address decides which version it is, also where the address stays and its content changes;
    one that is here already is checked too, and brought again where it was changed.

    Raises:
        NotFoundError: there is no version at `uri`. DataError: what came is not what its manifest says.
    """
    source = BucketSource(uri, settings)
    try:
        data = source.read(MANIFEST, most=LARGEST_MANIFEST)
    except FileNotFoundError as error:
        raise NotFoundError(f"no dataset version at {uri}; `thorax data ingest` makes and publishes one") from error
    manifest = checked_manifest(data, of=uri)
    target = folder / _folder_name(manifest)
    if not _is_whole(target, manifest["digest"]):
        names = _wanted(source.names())
        with new_directory(target) as new:
            (new / MANIFEST).write_bytes(data)
            for name in names:
                (new / name).write_bytes(source.read(name, most=LARGEST))
            load_dataset(new, check_digest=True)
    return load_dataset(target)


def _folder_name(manifest: dict[str, Any]) -> str:
    name, digest = str(manifest.get("name", "")), str(manifest["digest"])
    if not PLAIN_NAME.fullmatch(name):
        raise DataError("the dataset version's name is no plain name of letters, digits, '.', '_' and '-'")
    return f"{name}-{digest[7:19]}"


def _is_whole(target: Path, digest: str) -> bool:
    try:
        return load_dataset(target, check_digest=True).digest == digest
    except (DataError, NotFoundError):
        return False


def _wanted(names: list[str]) -> list[str]:
    """Return which of a version's files to bring beside its manifest; nothing else of the bucket is ever written.

    Raises:
        DataError: a name that leads out of the version's folder.
    """
    if any(name.startswith("/") or "\\" in name or ".." in name.split("/") for name in names):
        raise DataError("an object's name leads out of the dataset version; it is not one that was published here")
    return [name for name in (IMAGES, TABLE, *REPORTS) if name in names]
