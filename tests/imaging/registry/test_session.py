import json
import os

import pytest

from imaging.errors import ConfigurationError, NotFoundError, ReleaseRefusedError, ServiceError
from imaging.registry import Registry, champion_version
from imaging.registry.description import LONGEST, describe
from imaging.registry.recording import Evidence, _epochs, _flat
from imaging.registry.session import _translated, _variables
from imaging.settings import Settings
from tests.imaging.registry.packages import write_folders

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


def test_without_an_address_there_is_no_registry(home) -> None:
    with pytest.raises(ConfigurationError, match="THORAX_MLFLOW_URI"):
        Registry.from_settings(Settings()).versions()


def test_a_registry_that_does_not_answer_is_said_so_and_the_environment_is_put_back(home) -> None:
    settings = Settings(mlflow_uri="http://127.0.0.1:9", mlflow_username="trainer", mlflow_password="x")
    before = dict(os.environ)
    with pytest.raises(ServiceError):
        Registry.from_settings(settings).versions()
    assert dict(os.environ) == before


@pytest.mark.parametrize("address", ["", "sqlite:///x.db", "http://127.0.0.1:9"])
def test_who_is_champion_needs_a_server(home, address: str) -> None:
    with pytest.raises(ServiceError, match="thorax up"):
        champion_version(Settings(mlflow_uri=address))


def test_each_user_has_their_own_credentials() -> None:
    alice = _variables(Settings(mlflow_username="alice", mlflow_password="secret"))
    assert (alice["MLFLOW_TRACKING_USERNAME"], alice["MLFLOW_TRACKING_PASSWORD"]) == ("alice", "secret")
    assert "MLFLOW_TRACKING_USERNAME" not in _variables(Settings(mlflow_username=""))


@pytest.mark.parametrize(
    ("code", "message", "kind"),
    [
        ("RESOURCE_DOES_NOT_EXIST", "", NotFoundError),
        ("PERMISSION_DENIED", "", ReleaseRefusedError),
        ("INTERNAL_ERROR", "API request failed with error code 401 != 200", ReleaseRefusedError),
        ("INTERNAL_ERROR", "the disk is full", ServiceError),
    ],
)
def test_the_registrys_errors_come_out_as_ours(code: str, message: str, kind: type[Exception]) -> None:
    assert type(_translated(code, message)) is kind


def test_a_description_keeps_within_what_the_registry_can_hold(tmp_path) -> None:
    folders = write_folders(tmp_path)
    (folders[0] / "model_card.md").write_text("word " * 5000)
    text = describe(Evidence.read(*folders, params={}))

    assert len(text) <= LONGEST
    assert text.startswith("## Gates")
    assert text.endswith("the whole card is `model/model_card.md` of the source run.")


def test_curves_are_read_in_rows_or_columns() -> None:
    rows = [{"loss": 2}, {"loss": 1}]
    assert _epochs(rows) == _epochs({"epochs": rows}) == _epochs({"loss": [2, 1]}) == rows


def test_parameters_are_flat_and_named_in_the_registrys_alphabet() -> None:
    assert dict(_flat({"a": {"b c": (1, 2)}, "d#": None})) == {"a.b c": "[1, 2]", "d_": "None"}


def test_the_description_sets_the_version_beside_the_champion_and_says_how_to_decide(tmp_path) -> None:
    package, evaluation, gates = write_folders(tmp_path)
    found = json.loads((evaluation / "evaluation.json").read_text())
    delta = {"value": 0.0127, "low": 0.0018, "high": 0.0249}
    found["champion"] = {
        "champion_digest": "sha256:c",
        "delta_macro_auroc": delta,
        "champion_macro_auroc": {"value": 0.94},
    }
    (evaluation / "evaluation.json").write_text(json.dumps(found))
    text = describe(Evidence.read(package, evaluation, gates, params={}), run="experiments/3/runs/abc")
    assert "0.950 and the champion's 0.940: +0.013 (95 % interval +0.002 to +0.025)" in text
    assert "(#/experiments/3/runs/abc/artifacts)" in text
    assert text.index("## Gates") < text.index("## Beside the champion") < text.index("## To decide")


def test_a_first_version_says_that_there_is_no_champion(tmp_path) -> None:
    text = describe(Evidence.read(*write_folders(tmp_path), params={}))
    assert "no version was champion when it was evaluated" in text
    assert "To decide" not in text
