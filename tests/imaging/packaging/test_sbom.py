"""The bill of materials of the environment."""

import json
import platform
from importlib import metadata

import pytest
import torch

from imaging.packaging.sbom import SBOM_FILE, environment_sbom, licence_of, versions


@pytest.fixture(scope="module")
def sbom() -> dict:
    return json.loads(environment_sbom())


def test_every_distribution_is_named_once_with_its_version(sbom):
    found = {part["name"]: part for part in sbom["components"]}
    assert len(found) == len(sbom["components"])
    for name in ("torch", "numpy", "pydantic", "model-signing"):
        assert found[name]["version"] == metadata.version(name)
        assert found[name]["purl"].startswith(f"pkg:pypi/{name}@")
        assert found[name]["licenses"]
    assert found["python"]["version"] == platform.python_version()
    assert ("cuda" in found) == bool(torch.version.cuda)


def test_it_has_no_time_and_is_the_same_when_made_again(sbom):
    environment_sbom.cache_clear()
    assert json.loads(environment_sbom()) == sbom
    assert "timestamp" not in sbom["metadata"]


def test_no_host_or_folder_is_named():
    assert platform.node() not in environment_sbom() or not platform.node()
    assert "site-packages" not in environment_sbom()


def test_it_is_valid_cyclonedx():
    pytest.importorskip("jsonschema", reason="cyclonedx-python-lib's extra json-validation is not installed")
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(environment_sbom()) is None


@pytest.mark.parametrize(
    ("fields", "licence"),
    [
        ({"License-Expression": "MIT"}, "MIT"),
        ({"License": "Apache 2.0"}, "Apache 2.0"),
        ({"License": "the whole\ntext", "Classifier": "License :: OSI Approved :: BSD License"}, "BSD License"),
        ({"License": "UNKNOWN"}, ""),
    ],
)
def test_a_licence_is_told_by_its_name_never_by_its_text(fields, licence):
    import email.message

    about = email.message.Message()
    for name, value in fields.items():
        about[name] = value
    assert licence_of(about) == licence


def test_the_package_carries_it(finished):
    assert (finished.package / SBOM_FILE).read_text() == environment_sbom()


def test_the_card_names_the_versions(finished):
    card = (finished.package / "model_card.md").read_text()
    for name, version in versions().items():
        assert f"| {name} | {version} |" in card
