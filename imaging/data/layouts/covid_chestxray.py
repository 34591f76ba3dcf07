"""The covid-chestxray-dataset's `metadata.csv` (Cohen et al. 2020, arXiv:2003.11597): frontal radiographs of it.

A finding is a path such as `Pneumonia/Viral/COVID-19`. Three classes are made of them, normal, pneumonia and covid, or
one finding, at any depth of its path, against the rest.
"""

from pathlib import PurePosixPath

from imaging.data.label_tables import Entry
from imaging.data.layouts.plan import Place, Plan, columns_of, rows_of
from imaging.dicom.screening import normal_view
from imaging.errors import ConfigurationError

NEEDED = ("patientid", "finding", "view", "folder", "filename")
TABLE = "metadata.csv"
SOURCE = "covid-chestxray-dataset"


def fits(place: Place) -> bool:
    """Return whether the label table, or `metadata.csv` in the source, is this dataset's."""
    if place.table is not None:
        return set(NEEDED) <= columns_of(place.table)
    path = place.named(TABLE)
    return bool(path) and set(NEEDED) <= columns_of(place.text(path))


def read(place: Place) -> Plan:
    """Read the frontal radiographs with a finding of interest.

    Raises:
        ConfigurationError: a finding that no row has; the message lists those there are.
    """
    path = "" if place.table is not None else place.named(TABLE)
    rows = rows_of(place.table if place.table is not None else place.text(path), NEEDED)
    wanted = place.finding.strip().lower()
    known = {part.strip() for _, row in rows for part in row["finding"].split("/")} - {""}
    if wanted and wanted not in {name.lower() for name in known}:
        raise ConfigurationError(f"no finding {place.finding!r}; there are: {', '.join(sorted(known))}")
    frontal = [(line, row) for line, row in rows if _is_frontal(row)]
    entries = [_entry(line, row, PurePosixPath(path).parent, wanted) for line, row in frontal]
    labelled = [entry for entry in entries if entry.label]
    notes = (
        f"{len(rows) - len(frontal)} of {len(rows)} rows are no frontal radiographs, and "
        f"{len(frontal) - len(labelled)} have a finding that belongs to no class",
    )
    return Plan(entries=labelled, classes=frozenset(entry.label for entry in labelled), notes=notes)


def _is_frontal(row: dict[str, str]) -> bool:
    return bool(normal_view(row["view"])) and row.get("modality", "").lower().replace("-", "") in ("", "xray")


def _label(finding: str, wanted: str) -> str:
    parts = [part.strip().lower() for part in finding.split("/") if part.strip()]
    if wanted:
        name = wanted.replace(" ", "_")
        known = parts and parts[0] not in ("todo", "unknown")
        return (name if wanted in parts else f"no_{name}") if known else ""
    if "covid-19" in parts:
        return "covid"
    if parts == ["no finding"]:
        return "normal"
    return "pneumonia" if parts[:1] == ["pneumonia"] else ""


def _entry(line: int, row: dict[str, str], base: PurePosixPath, wanted: str) -> Entry:
    return Entry(
        row=line,
        file=str(base / row["folder"] / row["filename"]),
        label=_label(row["finding"], wanted),
        patient_id=f"covid-chestxray/{row['patientid']}" if row["patientid"] else "",
        view=row["view"],
        sex=row.get("sex", ""),
        age=row.get("age", ""),
        source=SOURCE,
    )
