"""`sbom.cdx.json`: the bill of materials of the environment that packaged a model, in CycloneDX 1.6.

Every installed Python distribution with its version, licence and package URL, and beside them Python, the operating
system and CUDA where torch was built with it. The same environment gives the same bytes: there is no time in it, and
its serial number is made from its content. No host, user or path is named.
"""

import functools
import json
import platform
import re
import uuid
from importlib import metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cyclonedx.model.component import Component

SBOM_FILE = "sbom.cdx.json"
LONGEST_LICENCE = 80
"""Characters; a longer `License` field is the licence's text, not its name."""
NAMESPACE = uuid.UUID("6ba7b811-9dad-11d1-80b4-00c04fd430c8")


@functools.cache
def environment_sbom() -> str:
    """Return the bill of materials of this process's environment, which does not change while it runs."""
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.output.json import JsonV1Dot6

    root = Component(name="training environment", type=ComponentType.APPLICATION, bom_ref="environment")
    bom = Bom()
    bom.metadata.component = root
    parts = [*_distributions(), *_platform()]
    bom.components.update(parts)
    bom.register_dependency(root, parts)
    document = json.loads(JsonV1Dot6(bom).output_as_string())
    del document["metadata"]["timestamp"], document["serialNumber"]
    content = json.dumps(document, sort_keys=True)
    document["serialNumber"] = f"urn:uuid:{uuid.uuid5(NAMESPACE, content)}"
    return json.dumps(document, indent=1, sort_keys=True) + "\n"


def versions() -> dict[str, str]:
    """Return the versions that a model card names: of the platform, Python, torch and CUDA."""
    import torch

    found = {"Thorax": _version_of("thorax"), "Python": platform.python_version(), "torch": str(torch.__version__)}
    found |= {"torchvision": _version_of("torchvision")}
    return found | ({"CUDA": str(torch.version.cuda)} if torch.version.cuda else {})


def licence_of(about: Any) -> str:
    """Return the licence that metadata name: an SPDX expression, a short name, or what the classifiers say; else ""."""
    given = str(about.get("License-Expression") or "").strip()
    if given:
        return given
    named = str(about.get("License") or "").strip()
    if named and "\n" not in named and len(named) <= LONGEST_LICENCE and named.upper() != "UNKNOWN":
        return named
    classified = [str(line) for line in about.get_all("Classifier") or [] if str(line).startswith("License ::")]
    return ", ".join(sorted({line.rsplit(" :: ", 1)[-1] for line in classified}))


def _distributions() -> "list[Component]":
    """Every distribution once: of two with one name, the one that is imported."""
    from cyclonedx.contrib.license.factories import LicenseFactory
    from cyclonedx.model.component import Component, ComponentType
    from packageurl import PackageURL

    found: dict[str, Component] = {}
    for one in metadata.distributions():
        name = re.sub(r"[-_.]+", "-", str(one.metadata["Name"] or "")).lower()
        if not name or name in found:
            continue
        purl = PackageURL("pypi", name=name, version=one.version)
        licence = licence_of(one.metadata)
        found[name] = Component(
            name=name,
            version=one.version,
            type=ComponentType.LIBRARY,
            licenses=[LicenseFactory().make_from_string(licence)] if licence else [],
            purl=purl,
            bom_ref=purl.to_string(),
        )
    return [found[name] for name in sorted(found)]


def _platform() -> "list[Component]":
    """Python, the operating system, and CUDA where torch has it."""
    import torch
    from cyclonedx.model.component import Component, ComponentType

    parts = [("python", platform.python_version(), ComponentType.PLATFORM)]
    try:
        release = platform.freedesktop_os_release()
        parts.append((release["ID"], release.get("VERSION_ID", ""), ComponentType.OPERATING_SYSTEM))
    except (OSError, KeyError):
        parts.append((platform.system().lower(), platform.release(), ComponentType.OPERATING_SYSTEM))
    if torch.version.cuda:
        parts.append(("cuda", str(torch.version.cuda), ComponentType.PLATFORM))
    return [Component(name=name, version=version, type=kind, bom_ref=name) for name, version, kind in parts]


def _version_of(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "not installed as a package"
