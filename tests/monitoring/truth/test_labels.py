from hypothesis import given
from hypothesis import strategies as st

from audit.feedback import Said
from monitoring.truth.labels import effective_labels


def said(own_id: str, label: str, role: str = "radiologist", corrects: str | None = None, **changes: str) -> Said:
    content = {"label": label, "reader_role": role, **({"corrects": corrects} if corrects else {})}
    fields = {"request_id": "r", "received": f"2026-11-01T00:00:00+00:00/{own_id}", "client": "pacs", **changes}
    return Said(kind="feedback", id=own_id, content=content, **fields)


def test_one_reading_is_the_label() -> None:
    (found,) = effective_labels([said("1", "covid")]).values()
    assert (found.label, found.state, found.role, found.readings) == ("covid", "sound", "radiologist", 1)


def test_a_correction_takes_the_place_of_what_it_names() -> None:
    rows = [said("1", "covid"), said("2", "normal", corrects="1")]
    assert effective_labels(rows)["r"].label == "normal"


def test_the_most_trusted_reader_counts_though_others_came_later() -> None:
    rows = [said("1", "covid", "radiologist"), said("2", "normal", "resident"), said("3", "normal", "report")]
    assert effective_labels(rows)["r"].label == "covid"


def test_equally_trusted_readers_who_disagree_leave_no_label_until_somebody_decides() -> None:
    rows = [said("1", "covid"), said("2", "normal")]
    assert (effective_labels(rows)["r"].label, effective_labels(rows)["r"].state) == ("", "disputed")
    rows.append(said("3", "covid", "adjudicator"))
    assert effective_labels(rows)["r"].label == "covid"


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b"]),
            st.sampled_from(["adjudicator", "radiologist", "resident", "report"]),
            st.sampled_from([None, "0", "1", "2"]),
            st.sampled_from(["r", "s"]),
        ),
        max_size=8,
    ),
    st.randoms(use_true_random=False),
)
def test_the_order_in_which_labels_come_changes_nothing(readings: list, random) -> None:
    rows = [
        said(str(index), label, role, corrects, request_id=request)
        for index, (label, role, corrects, request) in enumerate(readings)
    ]
    shuffled = list(rows)
    random.shuffle(shuffled)
    assert effective_labels(rows) == effective_labels(shuffled)
