"""The sides of `bench_drift.py`: our counting, Evidently, and the whole job over a log.

Each returns how far its index is from ours in the same bins, and the seconds that are not its computing: imports, and
that comparison.
"""

import time
import warnings
from pathlib import Path

import numpy as np

from imaging.settings import Settings
from monitoring.drift.bins import NumberBins, count_codes
from monitoring.drift.counting import Source, connect, count, parquet
from monitoring.drift.distances import psi
from monitoring.drift.noise import sampling_noise


def by_us(folder: Path, columns: int) -> tuple[float, float]:
    """Count in the reference's bins, draw the noise, and judge every column."""
    imports = time.perf_counter()
    import duckdb  # noqa: F401  # what `connect` imports, and pyarrow's `to_numpy`
    import pandas as pd  # noqa: F401
    import pyarrow.parquet as pq

    imported = time.perf_counter() - imports
    names = [f"c{index}" for index in range(columns)]
    reference = pq.ParquetFile(folder / "profile.parquet").read()
    values = {name: reference.column(name).to_numpy() for name in names}
    bins = {name: NumberBins.of(values[name]) for name in names}
    codes = {name: bins[name].place(values[name]) for name in names}
    known = count_codes(codes, bins)
    with connect() as connection:
        source = Source(
            relation=parquet(sorted((folder / "log").glob("*"))), expressions={name: name for name in names}
        )
        counts = count(connection, source, bins)[()]
    noise = sampling_noise(codes, bins, dict.fromkeys(names, "statistics"), sample=counts.rows)
    indices = np.array([float(psi(known.bins[name], counts.bins[name])) for name in names])
    if not (noise.p_value(indices) <= 1 and counts.rows):
        raise RuntimeError("nothing was compared")
    return 0.0, imported


def by_evidently(folder: Path, columns: int) -> tuple[float, float]:
    """Let Evidently compute PSI of every column of the same two files, then make ours in its bins."""
    imports = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pandas as pd
        from evidently import DataDefinition, Dataset, Report
        from evidently.metrics import ValueDrift

        imported = time.perf_counter() - imports
        names = [f"c{index}" for index in range(columns)]
        current, reference = pd.read_parquet(folder / "log"), pd.read_parquet(folder / "reference.parquet")
        definition = DataDefinition(numerical_columns=names)
        sides = [Dataset.from_pandas(frame, data_definition=definition) for frame in (current, reference)]
        report = Report([ValueDrift(column=name, method="psi", threshold=0.2) for name in names]).run(*sides)
        found = [float(metric["value"]) for metric in report.dict()["metrics"]]
    begin = time.perf_counter()
    ours = []
    for name in names:
        both = np.concatenate([reference[name], current[name]])
        edges = np.histogram_bin_edges(both, bins="sturges")[1:-1]
        bins = NumberBins(edges=edges, centres=np.zeros(len(edges) + 1), deviation=1.0)
        counts = [np.bincount(bins.place(side[name].to_numpy()), minlength=bins.count) for side in (reference, current)]
        ours.append(float(psi(*counts)))
    return float(np.abs(np.array(found) - ours).max()), time.perf_counter() - begin + imported


def by_job(folder: Path, columns: int) -> tuple[float, float]:  # one shape for every side
    """Run the drift job over the log of a home folder."""
    from monitoring.drift import run_drift
    from thorax.commands.monitor import plan

    result = run_drift(
        Settings(home=folder),
        window="7d",
        package=folder / "package",
        out=folder / "drift" / "check",
        trigger=plan().triggers["drift"],
    )
    if result.rows < 1_000:
        raise RuntimeError("expected a log of many images")
    return 0.0, 0.0
