import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from audit.feedback import FeedbackConflictError, FeedbackStore, Said


def said(own_id: str = "f-1", **changes: object) -> Said:
    fields = {"request_id": "r-1", "received": "2026-11-01T00:00:00+00:00", "client": "pacs", "content": {"label": "a"}}
    return Said(kind="feedback", id=own_id, **{**fields, **changes})


def test_rows_come_back_in_the_order_they_came(tmp_path: Path) -> None:
    store = FeedbackStore(tmp_path / "feedback.sqlite")
    assert store.rows("feedback") == []
    rows = [said(f"f-{number}") for number in (3, 1, 2)]
    assert [store.add(row) for row in rows] == [True, True, True]
    assert store.rows("feedback") == rows
    assert store.rows("adverse") == []


def test_the_database_itself_changes_and_deletes_nothing(tmp_path: Path) -> None:
    store = FeedbackStore(tmp_path / "feedback.sqlite")
    store.add(said())
    with sqlite3.connect(store.path) as connection:
        for order in ("UPDATE said SET content = '{}'", "DELETE FROM said", "REPLACE INTO said SELECT * FROM said"):
            with pytest.raises(sqlite3.IntegrityError, match="what was said is not"):
                connection.execute(order)
    connection.close()
    assert store.rows("feedback") == [said()]


def test_one_id_sent_by_many_at_once_is_one_row(tmp_path: Path) -> None:
    for number in range(20):  # each time into a store that none of them has made yet
        store = FeedbackStore(tmp_path / f"feedback-{number}.sqlite")
        with ThreadPoolExecutor(8) as pool:
            new = list(pool.map(lambda _, store=store: store.add(said()), range(24)))
        assert new.count(True) == 1
    with pytest.raises(FeedbackConflictError):
        store.add(said(content={"label": "b"}))


def test_who_sent_it_and_when_makes_no_other_row(tmp_path: Path) -> None:
    store = FeedbackStore(tmp_path / "feedback.sqlite")
    assert store.add(said())
    assert not store.add(said(received="2026-11-02T00:00:00+00:00", client="other"))
