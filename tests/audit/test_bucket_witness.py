"""What a bucket that keeps versions gives: heads under a delete marker, and the first public key, not the newest.

The bucket's answers are played (botocore's stub): `rclone serve s3`, which the other tests use, keeps no versions.
"""

import io
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import boto3
import pytest
from botocore.response import StreamingBody
from botocore.stub import Stubber
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit.bucket_witness import BucketWitness
from audit.errors import AuditError, DamagedLogError
from audit.heads import head_text
from audit.keys import public_bytes
from audit.witness import genesis_hash

KEY = Ed25519PrivateKey.generate()
PUBLIC = public_bytes(KEY)


def name_of(seq: int, record_hash: str) -> str:
    return f"log/heads/{seq:015d}-{record_hash}-{KEY.sign(head_text(seq, record_hash).encode()).hex()}"


@pytest.fixture
def stub(tmp_path: Path) -> Iterator[tuple[BucketWitness, Stubber]]:
    client = boto3.client("s3", region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b")
    witness = BucketWitness("s3://thorax-audit/log/", tmp_path)
    witness.__dict__["_s3"] = client
    with Stubber(client) as played:
        yield witness, played
        played.assert_no_pending_responses()


def keeps_versions(played: Stubber) -> None:
    played.add_response("get_bucket_versioning", {"Status": "Enabled"}, {"Bucket": "thorax-audit"})


def test_a_head_that_somebody_deleted_is_still_read(stub: tuple[BucketWitness, Stubber]) -> None:
    witness, played = stub
    heads = {0: genesis_hash(PUBLIC), 1: "1" * 64, 2: "2" * 64}
    keeps_versions(played)
    played.add_response(
        "list_object_versions",
        {
            "Versions": [{"Key": name_of(seq, text), "IsLatest": seq != 2} for seq, text in heads.items()],
            "DeleteMarkers": [{"Key": name_of(2, heads[2]), "IsLatest": True}],
        },
        {"Bucket": "thorax-audit", "Prefix": "log/heads/"},
    )
    found = witness.read([PUBLIC])
    assert (found.last, found.problem) == (2, None)
    head = found.get(2)
    assert head is not None
    assert head.hash == "2" * 64


def test_of_a_public_key_that_was_written_over_the_first_counts(stub: tuple[BucketWitness, Stubber]) -> None:
    witness, played = stub
    name = "log/audit.pub"
    versions = [
        {"Key": name, "VersionId": "late", "LastModified": datetime(2026, 3, 1, tzinfo=UTC)},
        {"Key": name, "VersionId": "first", "LastModified": datetime(2026, 1, 1, tzinfo=UTC)},
        {"Key": f"{name}.bak", "VersionId": "other", "LastModified": datetime(2025, 1, 1, tzinfo=UTC)},
    ]
    keeps_versions(played)
    played.add_response("list_object_versions", {"Versions": versions}, {"Bucket": "thorax-audit", "Prefix": name})
    body = f"{PUBLIC.hex()}\n".encode()
    played.add_response(
        "get_object",
        {"Body": StreamingBody(io.BytesIO(body), len(body))},
        {"Bucket": "thorax-audit", "Key": name, "VersionId": "first"},
    )
    assert witness.public_key() == PUBLIC


def test_what_a_bucket_refuses_is_said_by_its_code(stub: tuple[BucketWitness, Stubber]) -> None:
    witness, played = stub
    played.add_client_error("get_bucket_versioning", "AccessDenied", http_status_code=403)
    played.add_client_error("list_objects_v2", "AccessDenied", http_status_code=403)
    with pytest.raises(AuditError, match="does not list the heads: AccessDenied"):
        witness.read()
    played.add_client_error("put_object", "InvalidRequest", http_status_code=400)
    with pytest.raises(AuditError, match=r"the event 3 is kept, but its witness cannot be written: .*InvalidRequest"):
        witness.add(3, "3" * 64, "4" * 128)


def test_an_address_without_a_bucket_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DamagedLogError, match="s3://bucket/prefix"):
        BucketWitness("s3://", tmp_path)
