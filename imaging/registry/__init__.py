"""The model registry: what was registered, who stands where, and how to get a version back.

`Registry` speaks to MLflow through its own client; `champion_version` asks one question over plain HTTP,
so that a pipeline can be keyed by the champion without loading MLflow. Whether a version may be approved
is decided inside the MLflow server, and whether it may be served by the release controller.
"""

from imaging.registry.champion import current_champion
from imaging.registry.probe import champion_version
from imaging.registry.session import MODEL_NAME
from imaging.registry.versions import Registry, VersionInfo

__all__ = ["MODEL_NAME", "Registry", "VersionInfo", "champion_version", "current_champion"]
