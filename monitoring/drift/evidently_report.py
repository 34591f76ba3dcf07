"""Evidently's report of counts that were made elsewhere: its page, its JSON, its tests; none of its computing.

Evidently reads whole samples into pandas and bins them again for every figure. Here a metric carries the counts and
the index made of them, so that a report of ten million rows costs what one of ten costs.
"""

import json
import os
import warnings
from collections.abc import Sequence
from pathlib import Path

from imaging.atomic import write_text
from monitoring.drift.findings import Figure


def write_evidently(figures: Sequence[Figure], folder: Path) -> None:
    """Write evidently.html and evidently.json: each figure's PSI, its histogram, and the test against its noise."""
    os.environ.setdefault("DO_NOT_TRACK", "1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pandas as pd
        from evidently import Dataset, Report
        from evidently.tests import lte

        from monitoring.drift.evidently_metric import CountedDrift  # late: Evidently takes two seconds to import

        metrics = [
            CountedDrift(
                column=one.name,
                psi=one.psi,
                bins=list(one.bins),
                reference_counts=one.reference.tolist(),
                current_counts=one.current.tolist(),
                tests=[lte(one.noise)],
            )
            for one in figures
        ]
        empty = Dataset.from_pandas(pd.DataFrame({"counted": [0]}))
        snapshot = Report(metrics).run(empty, None)
        snapshot.save_html(str(folder / "evidently.html"))
        report = json.loads(snapshot.json())
    write_text(folder / "evidently.json", json.dumps(report) + "\n")
