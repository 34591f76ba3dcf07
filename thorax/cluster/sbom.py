"""`python -m thorax.cluster.sbom NAME`: what is installed here, as a CycloneDX document on stdout."""

import json
import sys
from importlib.metadata import Distribution, distributions
from typing import Any


def component(found: Distribution) -> dict[str, Any]:
    """Return one distribution as CycloneDX 1.6 describes it."""
    name, version = found.metadata["Name"], found.version
    named = [found.metadata[key] for key in ("License-Expression", "License") if key in found.metadata]
    licence = next((one for one in named if one), "")
    told = {"type": "library", "name": name, "version": version, "purl": f"pkg:pypi/{name.lower()}@{version}"}
    short = licence.strip().splitlines()[0][:100] if licence.strip() else ""
    return {**told, **({"licenses": [{"license": {"name": short}}]} if short else {})}


def document(name: str) -> dict[str, Any]:
    """Return the whole document, in a fixed order."""
    installed = {found.metadata["Name"].lower(): found for found in distributions()}
    parts = [component(found) for _, found in sorted(installed.items())]
    about = {"component": {"type": "container", "name": name}}
    return {"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "metadata": about, "components": parts}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(document(sys.argv[1]), indent=1) + "\n")
