"""Signed heads in a bucket: `THORAX_AUDIT_WITNESS=s3://bucket/prefix`.

Each head is an object of its own whose name says it all, so that one listing reads a thousand of them, and writers need
no lock. The bucket should keep versions under an object lock with a default retention: then whoever holds the writers'
keys can add heads, but take none away. Where it keeps versions, an object under a delete marker is still read. The
public key is the name of an object too: nothing is ever read but names. Boto3 is imported where it is used.
"""

import os
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audit.errors import AuditError, DamagedLogError
from audit.event import canonical
from audit.heads import Head, Heads, collect
from audit.keys import KEY_BYTES, kept
from audit.witness import PUBLIC_KEY_NAME, begin_log

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

CONNECT_TIMEOUT_S, READ_TIMEOUT_S = 5.0, 20.0
ATTEMPTS = 4
SEQ_DIGITS = 15
VERSIONS, OBJECTS = ("list_object_versions", "Versions"), ("list_objects_v2", "Contents")
"""How a bucket is read, and what its answer calls what it holds."""


class BucketWitness:
    """The heads of one log under a prefix of a bucket."""

    def __init__(self, address: str, keys: Path) -> None:
        """Name the place, as `s3://bucket/prefix`.

        Endpoint and login: `THORAX_AUDIT_S3_ENDPOINT`, `…_ACCESS_KEY` and `…_SECRET_KEY`, or files of the folder `keys`
        (`endpoint`, `access_key`, `secret_key`), else the platform's `THORAX_S3_…`, else what boto3 finds.
        """
        self.place = address
        self._keys = keys
        self._bucket, _, prefix = address.removeprefix("s3://").partition("/")
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        if not self._bucket:
            raise DamagedLogError(f"THORAX_AUDIT_WITNESS is {address!r}: expected s3://bucket/prefix")

    def public_key(self) -> bytes | None:
        """Return the public key kept here, if any.

        Raises:
            DamagedLogError: somebody put another one beside it.
        """
        keys = {name for name in self._names(self._prefix + PUBLIC_KEY_NAME) if name.startswith("-")}
        if not keys:
            return None
        if len(keys) > 1:
            raise DamagedLogError(f"there are {len(keys)} public keys in {self.place}: a log begins with one")
        try:
            raw = bytes.fromhex(keys.pop().removeprefix("-"))
        except ValueError as error:
            raise DamagedLogError(f"the public key in {self.place} is no key") from error
        if len(raw) != KEY_BYTES:
            raise DamagedLogError(f"the public key in {self.place} has {len(raw)} bytes, not {KEY_BYTES}")
        return raw

    def keep_public_key(self, public: bytes) -> None:
        """Write the public key, unless there is one."""
        if self.public_key() is None:
            self._put(f"{self._prefix}{PUBLIC_KEY_NAME}-{public.hex()}", public.hex() + "\n")

    def begin(self, key: "Ed25519PrivateKey", *, is_new: bool) -> None:
        """Write head 0 of a new log."""
        begin_log(self, key, has_heads=next(self._names(self._heads, most=1), None) is not None, is_new=is_new)

    def add(self, seq: int, record_hash: str, signature: str) -> None:
        """Write one head as an object; writing it again changes nothing.

        Raises:
            AuditError: the bucket refuses or is away, after a few tries; the event itself is already kept.
        """
        name = f"{self._heads}{seq:0{SEQ_DIGITS}d}-{record_hash}-{signature}"
        try:
            self._put(name, canonical({"seq": seq, "hash": record_hash, "signature": signature}) + "\n")
        except AuditError as error:
            raise AuditError(f"the event {seq} is kept, but its witness cannot be written: {error}") from error

    def read(self, keys: Sequence[bytes] | None = None) -> Heads:
        """Return every head that was ever written here."""
        return collect(((f"object {name}", _head_of(name)) for name in self._names(self._heads)), keys)

    @property
    def _heads(self) -> str:
        return f"{self._prefix}heads/"

    @cached_property
    def _s3(self) -> Any:
        import boto3
        from botocore.config import Config

        config = Config(
            connect_timeout=CONNECT_TIMEOUT_S,
            read_timeout=READ_TIMEOUT_S,
            retries={"max_attempts": ATTEMPTS, "mode": "standard"},
            s3={"addressing_style": "path"},
        )
        endpoint, access, secret = (self._told(name) for name in ("ENDPOINT", "ACCESS_KEY", "SECRET_KEY"))
        keys = {"aws_access_key_id": access, "aws_secret_access_key": secret} if access and secret else {}
        region = {"region_name": "us-east-1"} if endpoint else {}
        return boto3.client("s3", config=config, endpoint_url=endpoint or None, **region, **keys)

    def _told(self, name: str) -> str:
        own, platform = os.environ.get(f"THORAX_AUDIT_S3_{name}"), os.environ.get(f"THORAX_S3_{name}")
        return own or kept(self._keys, name.lower()) or platform or ""

    @cached_property
    def _keeps_versions(self) -> bool:
        from botocore.exceptions import ClientError

        try:
            return self._s3.get_bucket_versioning(Bucket=self._bucket).get("Status") == "Enabled"
        except ClientError:  # a store without versions, or keys that may not ask
            return False

    def _names(self, begin: str, *, most: int | None = None) -> Iterator[str]:
        """Yield the rest of the names that begin so."""
        from botocore.exceptions import BotoCoreError, ClientError

        limits = {"PaginationConfig": {"MaxItems": most}} if most else {}
        try:
            kind, inside = VERSIONS if self._keeps_versions else OBJECTS
            pages = self._s3.get_paginator(kind).paginate(Bucket=self._bucket, Prefix=begin, **limits)
            for page in pages:
                for one in page.get(inside, []):
                    yield one["Key"].removeprefix(begin)
        except (BotoCoreError, ClientError) as error:
            raise self._failed("does not list what it holds", error) from error

    def _put(self, name: str, text: str) -> None:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            self._s3.put_object(Bucket=self._bucket, Key=name, Body=text.encode(), ContentType="application/json")
        except (BotoCoreError, ClientError) as error:
            raise self._failed("does not take it", error) from error

    def _failed(self, what: str, error: Exception) -> AuditError:
        response = getattr(error, "response", None)
        reason = response.get("Error", {}).get("Code", "unknown") if response else type(error).__name__
        return AuditError(f"the witness {self.place} {what}: {reason}")


def _head_of(name: str) -> Head | None:
    parts = name.split("-")
    if len(parts) != 3 or not parts[0].isdigit():
        return None
    return Head(int(parts[0]), parts[1], parts[2])
