"""What a retraining may not learn from is refused by the plan's clause, and on record, before anything is trained."""

import csv
from pathlib import Path

import pytest

from audit import AuditLog
from components.new_images import take
from imaging.data.ingest import ingest
from imaging.data.phantom import write_phantom
from imaging.data.pseudonyms import pseudonym_key
from imaging.errors import DataError
from imaging.settings import Settings


@pytest.fixture
def place(home: Path, tmp_path: Path) -> Path:
    """A few synthetic radiographs, and the dataset version that is made of them."""
    write_phantom(tmp_path / "images", patients=6, seed=1)
    settings = Settings()
    made = ingest(
        str(tmp_path / "images"),
        tmp_path / "datasets",
        labels="labels.csv",
        size=64,
        pseudonym_key=pseudonym_key(settings),
        settings=settings,
    )
    made.path.rename(tmp_path / "base")
    return tmp_path


def refusals(home: Path) -> list[str]:
    return [str(event.details["rule"]) for event in AuditLog(home / "audit").events("retrain.refused")]


def labelled_by(table: Path, who: str) -> Path:
    with table.open(newline="") as file:
        rows = [{**row, "labelled_by": who} for row in csv.DictReader(file)]
    out = table.with_name(f"by-{who}.csv")
    with out.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return out


def asked(place: Path, labels: Path) -> None:
    take(str(place / "images"), place / "base", place / "new", labels=str(labels), layout="auto", finding="")


def test_too_few_images_of_a_class_are_refused_by_the_clause(home: Path, place: Path) -> None:
    with pytest.raises(DataError, match=r"minimum_per_class.*the plan asks for 10"):
        asked(place, place / "images" / "labels.csv")
    assert refusals(home) == ["minimum_per_class"]


def test_labels_of_whom_the_plan_does_not_know_are_refused_by_the_clause(home: Path, place: Path) -> None:
    with pytest.raises(DataError, match="leave no row of the label table"):
        asked(place, labelled_by(place / "images" / "labels.csv", "model"))
    assert refusals(home) == ["data_rules"]
    assert not (place / "new").exists()
