"""Which rows of a label table a retraining may learn from; the others are set aside and counted, by the rule."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field

from imaging.errors import DataError

BY, STATUS = "labelled_by", "label_status"
SET_ASIDE = ("labels_by", "quarantine", "two_labels")


@dataclass(frozen=True, kw_only=True, slots=True)
class Accepted:
    """What is left of a table, and how many rows each rule set aside."""

    text: str = field(repr=False)
    rows: int
    set_aside: dict[str, int]
    unsaid: int
    """Rows that are kept and do not say who labelled them."""


def accept_labels(text: str, *, by: Sequence[str], quarantine: Sequence[str], unsaid: bool) -> Accepted:
    """Keep the rows of a label table that the rules allow.

    Args:
        text: The table (CSV): `file`, `label`, and where known `labelled_by` and `label_status`.
        by: Whose labels count, as `radiologist`; anybody's where empty.
        quarantine: States of a label that keep it out, as `disputed`.
        unsaid: Whether a label may be taken that does not say whose it is.

    Raises:
        DataError: not a table, or no row is left.
    """
    try:
        reader = csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline=""), restval="")
        columns = [name.strip() for name in reader.fieldnames or []]
        reader.fieldnames = columns
        rows = [{name: (row[name] or "").strip() for name in columns} for row in reader]
    except csv.Error as error:
        raise DataError("the label table is not a CSV file") from error
    if not {"file", "label"} <= set(columns):
        raise DataError("the label table needs the columns file, label")
    counts, kept = dict.fromkeys(SET_ASIDE, 0), []
    disputed = _disputed(rows)
    for row in rows:
        rule = _rule(row, by=by, quarantine=quarantine, unsaid=unsaid, disputed=disputed)
        if rule:
            counts[rule] += 1
        else:
            kept.append(row)
    if not kept:
        told = ", ".join(f"{count} by {rule}" for rule, count in counts.items() if count)
        raise DataError(f"the plan's data rules leave no row of the label table: {told or 'it has none'}")
    out = io.StringIO()
    writer = csv.DictWriter(out, columns)
    writer.writeheader()
    writer.writerows(kept)
    silent = sum(not row.get(BY) for row in kept)
    return Accepted(text=out.getvalue(), rows=len(kept), set_aside=counts, unsaid=silent)


def _disputed(rows: list[dict[str, str]]) -> set[str]:
    """Return the files that two rows label differently."""
    labels: dict[str, str] = {}
    return {row["file"] for row in rows if labels.setdefault(row["file"], row["label"]) != row["label"]}


def _rule(
    row: dict[str, str], *, by: Sequence[str], quarantine: Sequence[str], unsaid: bool, disputed: set[str]
) -> str:
    """Return the rule that sets a row aside, or nothing."""
    who = row.get(BY, "")
    if (who and by and who.lower() not in by) or (not who and not unsaid):
        return "labels_by"
    if row.get(STATUS, "").lower() in quarantine:
        return "quarantine"
    return "two_labels" if row["file"] in disputed else ""
