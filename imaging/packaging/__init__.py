"""The finished model directory: what is registered, released and served.

`package` puts it together, `model_card` writes its card; how a model lies on disk is `imaging.models.directory`.
"""

from imaging.models.directory import (
    ModelInfo,
    load_info,
    package_digest,
    replace_info,
    save_model,
    verify_package,
)
from imaging.packaging.package import package_on_disk

__all__ = [
    "ModelInfo",
    "load_info",
    "package_digest",
    "package_on_disk",
    "replace_info",
    "save_model",
    "verify_package",
]
