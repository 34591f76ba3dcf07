import json
from pathlib import Path
from typing import Any

import pytest

from monitoring.watch import Ended
from thorax.commands import retrain_data

DIGEST = "sha256:" + "a" * 64


@pytest.fixture
def serving_home(home: Path) -> Path:
    """A home in which version 3 serves, with a reference and no request yet."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    package = home / "release" / "packages" / "chest-xray-3"
    package.mkdir(parents=True)
    pq.write_table(
        pa.table({"mean": [index / 200 for index in range(200)], "p_normal": [index / 300 for index in range(200)]}),
        package / "reference_profile.parquet",
    )
    (package / "model.json").write_text('{"recipe": "mobilenetv2_smoke"}')
    state = {"serving": {"version": "3", "digest": DIGEST, "archive": "chest-xray-3.mar"}}
    (home / "release" / "state.json").write_text(json.dumps(state))
    return home


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The arguments of every retraining that would have started."""
    found: list[dict[str, Any]] = []

    def retrain(_home: Path, _pipeline: str, arguments: dict[str, Any], _on_step: object) -> Ended:
        found.append(arguments)
        return Ended(passed=False)

    monkeypatch.setattr(retrain_data, "train", retrain)
    return found
