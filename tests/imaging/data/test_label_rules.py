"""Label rules: whose labels count, which are kept out, and how many were set aside by which rule."""

import pytest

from imaging.data.label_rules import accept_labels
from imaging.data.label_tables import parse_table
from imaging.errors import DataError

TABLE = """file,label,labelled_by,label_status
a.png,normal,radiologist,
b.png,normal,model,
c.png,covid,Radiologist,disputed
d.png,covid,,
e.png,normal,radiologist,
e.png,covid,radiologist,
"""
RULES = {"by": ("radiologist",), "quarantine": ("disputed",)}


def test_each_row_is_kept_or_counted_under_the_rule_that_set_it_aside():
    found = accept_labels(TABLE, unsaid=True, **RULES)
    assert [entry.file for entry in parse_table(found.text)] == ["a.png", "d.png"]
    assert (found.rows, found.unsaid) == (2, 1)
    assert found.set_aside == {"labels_by": 1, "quarantine": 1, "two_labels": 2}


def test_a_label_that_does_not_say_whose_it_is_can_be_refused():
    found = accept_labels(TABLE, unsaid=False, **RULES)
    assert [entry.file for entry in parse_table(found.text)] == ["a.png"]
    assert found.set_aside["labels_by"] == 2


def test_without_rules_only_two_labels_for_one_file_are_set_aside():
    found = accept_labels(TABLE, by=(), quarantine=(), unsaid=True)
    assert found.rows == 4
    assert found.set_aside == {"labels_by": 0, "quarantine": 0, "two_labels": 2}


def test_a_table_of_which_nothing_is_left_and_one_that_is_none_are_refused():
    with pytest.raises(DataError, match="leave no row of the label table: 1 by labels_by"):
        accept_labels("file,label,labelled_by\na.png,normal,model\n", unsaid=True, **RULES)
    with pytest.raises(DataError, match="needs the columns file, label"):
        accept_labels("name\nx\n", unsaid=True, **RULES)
