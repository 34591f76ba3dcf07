"""The prediction log back from a real S3 API."""

from datetime import timedelta
from pathlib import Path

import pytest

from imaging.errors import ServiceError
from imaging.settings import Settings
from monitoring.download import download
from monitoring.prediction_log import read_log
from monitoring.upload import upload
from tests.monitoring.conftest import NOW
from tests.monitoring.test_upload import BUCKET, bucket, parquet  # noqa: F401  # fixtures


def test_what_was_uploaded_comes_back_and_reads_alike(tmp_path: Path, bucket: Settings, parquet: Path) -> None:  # noqa: F811
    sent = upload(parquet, BUCKET, bucket).sent
    (tmp_path / "s3" / BUCKET / "date=2026-11-21" / "note.txt").write_text("not of the log")
    assert download(BUCKET, tmp_path / "back", bucket, since=NOW - timedelta(days=7)) == sent
    assert read_log(tmp_path / "back") == read_log(parquet)


def test_files_of_before_the_window_stay_where_they_are(tmp_path: Path, bucket: Settings, parquet: Path) -> None:  # noqa: F811
    upload(parquet, BUCKET, bucket)
    assert download(BUCKET, tmp_path / "back", bucket, since=NOW + timedelta(days=3)) == 0


def test_a_bucket_that_is_not_there_is_said(tmp_path: Path, bucket: Settings) -> None:  # noqa: F811
    with pytest.raises(ServiceError, match="nowhere"):
        download("nowhere", tmp_path / "back", bucket, since=NOW)
