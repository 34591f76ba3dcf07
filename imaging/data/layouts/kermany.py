"""The Guangzhou children of Kermany et al. 2018: `chest_xray/{train,val,test}/{NORMAL,PNEUMONIA}`.

The file names hold the patients: `person80_virus_150` and `person80_bacteria_389` count as one. Nobody says whether
person 80 of test is also person 80 of train; with one numbering the published split could not be kept, so test has a
numbering of its own. Source: doi:10.17632/rscbjbr9sj.
"""

import re
from dataclasses import replace

from imaging.data.layouts.folders import entries_of_tree, is_hidden
from imaging.data.layouts.plan import Place, Plan

TREE = re.compile(r"(?:^|/)(?:train|val|test)/(?:NORMAL|PNEUMONIA)/[^/]+\.jpe?g$", re.IGNORECASE)
PATIENT = re.compile(r"(person\d+)_|((?:NORMAL\d*-)?IM-\d+)|(?:BACTERIA|VIRUS|NORMAL)-(\d+)-", re.IGNORECASE)
SOURCE = "Kermany 2018"


def fits(place: Place) -> bool:
    """Return whether the folders are Kermany's and some file is named as theirs are."""
    if place.table is not None:
        return False
    found = [name for name in place.names if not is_hidden(name) and TREE.search(name)]
    return any(PATIENT.match(name.rsplit("/", 1)[-1]) for name in found)


def read(place: Place) -> Plan:
    """Read classes from the folders and patients from the file names."""
    names = [name for name in place.names if TREE.search(name)]
    entries, classes = entries_of_tree(names, [])
    named = [
        replace(
            entry,
            label=entry.label.lower(),
            patient_id=_patient(entry.file, entry.split),
            age="1-5",
            view="AP",
            source=SOURCE,
        )
        for entry in entries
    ]
    return Plan(
        entries=named,
        classes=frozenset(name.lower() for name in classes),
        notes=(
            "patients come from the file names; the numbers in test are taken as other patients than those in train, "
            "which the publishers do not say",
        ),
    )


def _patient(file: str, split: str) -> str:
    found = PATIENT.match(file.rsplit("/", 1)[-1])
    if found is None:
        return ""
    side = "test" if split == "test" else "fit"
    return f"kermany/{side}/{next(group for group in found.groups() if group).lower()}"
