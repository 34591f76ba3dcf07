"""The gate `package` and the signature: signed by whom is trusted here, or nothing passes."""

import pytest
import yaml

from imaging.evaluation.gate import Evidence, GateRow
from imaging.evaluation.gates import check_package_gate
from imaging.evaluation.schema import NOT_EVALUATED, Evaluation
from imaging.models.manifest import write_manifest
from imaging.models.signature import SIGNATURE_FILE, sign_package
from imaging.models.signing_key import ensure_signing_key
from imaging.settings import Settings
from tests.imaging.evaluation.test_gates import TABLE

ROW = next(
    GateRow.model_validate(row) for row in yaml.safe_load(TABLE.read_text())["gates"] if row["name"] == "package"
)


def ask(package, settings=None):
    evaluation = Evaluation.model_validate_json((package / "evaluation.json").read_text())
    return check_package_gate(Evidence(evaluation=evaluation, package=package, settings=settings or Settings()), ROW)


def test_a_signed_package_passes(package):
    verdict = ask(package)
    assert verdict.passed
    assert "signature" in verdict.reason


def test_a_package_that_nobody_signed_fails(package):
    (package / SIGNATURE_FILE).unlink()
    verdict = ask(package)
    assert not verdict.passed
    assert "nobody vouches for it" in verdict.reason


def test_a_package_signed_by_a_stranger_fails(package, tmp_path):
    sign_package(package, Settings(home=tmp_path / "stranger", signature_key=None))
    verdict = ask(package)
    assert not verdict.passed
    assert "another key than the one trusted" in verdict.reason


def test_a_package_changed_together_with_its_manifest_fails_by_the_signature(package):
    (package / "curves.json").write_text((package / "curves.json").read_text() + " ")
    write_manifest(package)
    verdict = ask(package)
    assert not verdict.passed
    assert "changed, added or removed" in verdict.reason


def test_where_no_key_is_trusted_nothing_passes(package, tmp_path, monkeypatch):
    monkeypatch.delenv("THORAX_SIGNATURE_KEY")
    assert not ask(package, Settings(home=tmp_path / "empty")).passed


@pytest.mark.parametrize("mode", ["certificate", "sigstore"])
def test_a_signature_by_key_is_none_by_another_mode(package, mode):
    assert not ask(package, Settings(signing=mode)).passed


def test_a_trusted_key_in_the_package_is_not_asked(package, tmp_path):
    stranger = Settings(home=tmp_path / "stranger", signature_key=None)
    key, _ = ensure_signing_key(stranger)
    (package / "signing.pub").write_bytes(b"any")
    write_manifest(package)
    sign_package(package, stranger.model_copy(update={"signing_key": key}))
    assert not ask(package).passed


def test_the_signature_is_no_longer_among_what_is_not_evaluated():
    assert not any("signature" in line for line in NOT_EVALUATED)
