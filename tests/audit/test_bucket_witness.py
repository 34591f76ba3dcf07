"""What a bucket that keeps versions gives: heads under a delete marker, and the public key likewise.

The bucket's answers are played (botocore's stub): `rclone serve s3`, which the other tests use, keeps no versions.
"""

from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
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


@pytest.mark.parametrize("others", [[], ["ab" * 32]], ids=["one", "two"])
def test_a_public_key_that_was_deleted_is_still_read_and_a_second_one_is_told(
    stub: tuple[BucketWitness, Stubber], others: list[str]
) -> None:
    witness, played = stub
    keys = [{"Key": f"log/audit.pub-{text}", "IsLatest": False} for text in (PUBLIC.hex(), PUBLIC.hex(), *others)]
    keeps_versions(played)
    played.add_response(
        "list_object_versions", {"Versions": keys}, {"Bucket": "thorax-audit", "Prefix": "log/audit.pub"}
    )
    if others:
        with pytest.raises(DamagedLogError, match="2 public keys"):
            witness.public_key()
    else:
        assert witness.public_key() == PUBLIC


def test_what_a_bucket_refuses_is_said_by_its_code(stub: tuple[BucketWitness, Stubber]) -> None:
    witness, played = stub
    played.add_client_error("get_bucket_versioning", "AccessDenied", http_status_code=403)
    played.add_client_error("list_objects_v2", "AccessDenied", http_status_code=403)
    with pytest.raises(AuditError, match="does not list what it holds: AccessDenied"):
        witness.read()
    played.add_client_error("put_object", "InvalidRequest", http_status_code=400)
    with pytest.raises(AuditError, match=r"the event 3 is kept, but its witness cannot be written: .*InvalidRequest"):
        witness.add(3, "3" * 64, "4" * 128)


def test_an_address_without_a_bucket_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DamagedLogError, match="s3://bucket/prefix"):
        BucketWitness("s3://", tmp_path)
