"""Which GPUs a run's steps get on a cluster: profiles by name, put into a compiled pipeline.

`resources.NEEDS` says which steps take a GPU; a profile says which kind of node has them, by the label that NVIDIA's
feature discovery puts there, and how much memory goes with it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from imaging.errors import ConfigurationError, NotFoundError

PRODUCT = "nvidia.com/gpu.product"
MOST = 8


@dataclass(frozen=True, slots=True)
class Gpu:
    """One kind of GPU node."""

    product: str
    """The label's value; of several memory sizes the smallest."""
    memory: str
    """Of the step beside each GPU."""


PROFILES: dict[str, Gpu] = {
    "t4": Gpu("Tesla-T4", "16Gi"),
    "a100": Gpu("NVIDIA-A100-SXM4-40GB", "64Gi"),
    "h100": Gpu("NVIDIA-H100-80GB-HBM3", "128Gi"),
    "h200": Gpu("NVIDIA-H200", "192Gi"),
}


def choose(package: Path, name: str, count: int) -> None:
    """Let those steps of a compiled pipeline that take a GPU take `count` of this kind.

    Raises:
        NotFoundError: no such profile. ConfigurationError: no step takes a GPU, or the count is none.
    """
    if name not in PROFILES:
        raise NotFoundError(f"no GPU profile {name!r}; there are: {', '.join(PROFILES)}")
    if not 1 <= count <= MOST:
        raise ConfigurationError(f"expected 1 to {MOST} GPUs, got {count}")
    specification, platform = _documents(package)
    gpu, nodes = PROFILES[name], platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    changed = 0
    for key, executor in specification["deploymentSpec"]["executors"].items():
        resources = executor.get("container", {}).get("resources", {})
        if "accelerator" not in resources:
            continue
        resources["accelerator"] |= {"count": str(count), "resourceCount": str(count)}
        memory = f"{int(gpu.memory.removesuffix('Gi')) * count}Gi"
        resources |= {"resourceMemoryLimit": memory, "resourceMemoryRequest": memory}
        resources |= dict.fromkeys(("memoryLimit", "memoryRequest"), int(memory.removesuffix("Gi")) * 1.073741824)
        nodes[key].setdefault("nodeSelector", {}).setdefault("labels", {})[PRODUCT] = gpu.product
        changed += 1
    if not changed:
        raise ConfigurationError("no step of this pipeline takes a GPU")
    package.write_text(yaml.safe_dump_all((specification, platform), sort_keys=False), encoding="utf-8")


def _documents(package: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the pipeline's specification and the cluster's part of it."""
    specification, platform = yaml.safe_load_all(package.read_text(encoding="utf-8"))
    return specification, platform
