"""The container images that steps run in; the only place that names one.

`THORAX_IMAGE` names another, by digest in production. KFP's local runner warns about images whose name
lacks "python", so ours has it.
"""

import os

TRAINER = os.environ.get("THORAX_IMAGE", "ghcr.io/thorax-platform/thorax-python:0.1.0")
"""Python 3.11 with this project installed, and KFP without its dependencies."""
