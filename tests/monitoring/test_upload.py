"""The prediction log's copy in a bucket, on a real S3 API (`rclone serve s3`, signature v4 keys)."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from audit.predictions import PredictionSpool
from imaging.errors import ServiceError
from imaging.settings import Settings
from monitoring.prediction_log import collect, read_log
from monitoring.upload import Uploaded, upload
from tests.monitoring.conftest import prediction_row
from tests.s3_api import s3_api

BUCKET = "predictions"


@pytest.fixture
def bucket(tmp_path: Path) -> Iterator[Settings]:
    (tmp_path / "s3" / BUCKET).mkdir(parents=True)
    with s3_api(tmp_path / "s3", tmp_path) as settings:
        yield settings


@pytest.fixture
def parquet(tmp_path: Path) -> Path:
    """A log of twelve requests, collected in two batches."""
    for start in (0, 6):
        spool = PredictionSpool(tmp_path / "spool")
        for index in range(start, start + 6):
            spool.append(prediction_row(index))
        spool.close()
        collect(tmp_path / "spool", tmp_path / "parquet")
    return tmp_path / "parquet"


def test_the_bucket_holds_the_whole_log_and_reads_as_the_log_does(tmp_path, bucket, parquet):
    count = len(list(parquet.rglob("*.parquet")))
    assert upload(parquet, BUCKET, bucket) == Uploaded(sent=count, held=0)
    copy = tmp_path / "s3" / BUCKET
    assert len(read_log(parquet)) == 12
    assert json.dumps(read_log(copy)) == json.dumps(read_log(parquet))


def test_a_second_upload_sends_nothing_and_what_the_bucket_lost_is_sent_again(tmp_path, bucket, parquet):
    upload(parquet, BUCKET, bucket)
    count = len(list(parquet.rglob("*.parquet")))
    assert upload(parquet, BUCKET, bucket) == Uploaded(sent=0, held=count)
    lost = sorted((tmp_path / "s3" / BUCKET).rglob("*.parquet"))[0]
    kept = lost.read_bytes()
    lost.write_bytes(kept[:40])
    time.sleep(1.5)  # by then rclone has seen what was changed behind its back
    assert upload(parquet, BUCKET, bucket) == Uploaded(sent=1, held=count - 1)
    assert lost.read_bytes() == kept


def test_what_the_bucket_alone_holds_is_never_taken_away(tmp_path, bucket, parquet):
    upload(parquet, BUCKET, bucket)
    held = read_log(tmp_path / "s3" / BUCKET)
    for path in parquet.rglob("*.parquet"):
        path.unlink()
    assert upload(parquet, BUCKET, bucket) == Uploaded(sent=0, held=0)
    assert read_log(tmp_path / "s3" / BUCKET) == held


def test_a_bucket_that_refuses_is_a_coded_error_and_the_log_stays(bucket, parquet):
    stranger = bucket.model_copy(update={"s3_access_key": "nobody"})
    with pytest.raises(ServiceError, match="'predictions' did not take the prediction log"):
        upload(parquet, BUCKET, stranger)
    assert len(read_log(parquet)) == 12
