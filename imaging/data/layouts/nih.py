"""NIH ChestX-ray14: `Data_Entry_2017*.csv`, pictures in one or many folders, and the publishers' lists of a test split.

Labels are mined from reports (Wang et al. 2017, CVPR); two classes are made of them: normal and abnormal, or one
finding against the rest.
"""

import re
from pathlib import PurePosixPath

from imaging.data.label_tables import Entry
from imaging.data.layouts.plan import Place, Plan, columns_of, rows_of
from imaging.errors import ConfigurationError

NEEDED = ("Image Index", "Finding Labels", "Patient ID")
TABLE = re.compile(r"data_entry_2017.*\.csv$", re.IGNORECASE)
NO_FINDING = "No Finding"
SOURCE = "NIH ChestX-ray14"


def fits(place: Place) -> bool:
    """Return whether the label table, or one in the source, is NIH's."""
    if place.table is not None:
        return set(NEEDED) <= columns_of(place.table)
    return bool(_table_name(place))


def read(place: Place) -> Plan:
    """Read the rows whose picture is here.

    Raises:
        ConfigurationError: a finding that no row has; the message lists those there are.
    """
    rows = rows_of(place.table if place.table is not None else place.text(_table_name(place)), NEEDED)
    paths = {PurePosixPath(name).name: name for name in place.names if name.lower().endswith(".png")}
    finding, known = place.finding.strip().lower(), _findings(rows)
    if finding and finding not in known:
        raise ConfigurationError(f"no finding {place.finding!r}; there are: {', '.join(sorted(known.values()))}")
    tested = _listed(place, "test_list.txt")
    fitted = _listed(place, "train_val_list.txt")
    entries = [
        _entry(line, row, paths[row["Image Index"]], finding, tested=tested, fitted=fitted)
        for line, row in rows
        if row["Image Index"] in paths
    ]
    away = len(rows) - len(entries)
    notes = (f"{away} of {len(rows)} rows are of pictures that are not here",) if away else ()
    return Plan(entries=entries, classes=frozenset(entry.label for entry in entries), notes=notes)


def _table_name(place: Place) -> str:
    return next((name for name in place.names if TABLE.match(PurePosixPath(name).name)), "")


def _findings(rows: list[tuple[int, dict[str, str]]]) -> dict[str, str]:
    names = {name.strip() for _, row in rows for name in row["Finding Labels"].split("|")}
    return {name.lower(): name for name in names if name and name != NO_FINDING}


def _listed(place: Place, name: str) -> set[str]:
    path = place.named(name)
    return set(place.text(path).split()) if path else set()


def _entry(line: int, row: dict[str, str], file: str, finding: str, *, tested: set[str], fitted: set[str]) -> Entry:
    findings = {name.strip().lower() for name in row["Finding Labels"].split("|")} - {""}
    if finding:
        name = finding.replace(" ", "_")
        label = name if finding in findings else f"no_{name}"
    else:
        label = "normal" if findings == {NO_FINDING.lower()} else "abnormal"
    image = row["Image Index"]
    split = "test" if image in tested else "train" if image in fitted or tested else ""
    return Entry(
        row=line,
        file=file,
        label=label if findings else "",
        patient_id=f"nih/{row['Patient ID']}",
        view=row.get("View Position", ""),
        sex=row.get("Patient Gender", row.get("Patient Sex", "")),
        age=row.get("Patient Age", ""),
        split=split,
        source=SOURCE,
    )
