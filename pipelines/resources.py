"""What each step needs on a cluster, in one table: machine, secrets, retries, time.

On one machine the steps share what there is; of the table only the time limits hold there.
"""

from dataclasses import dataclass, replace
from typing import Any

from kfp import kubernetes
from kfp.dsl import PipelineTask

HOUR = 3600
SHARED_MEMORY = "/dev/shm"  # noqa: S108  where Linux keeps it


@dataclass(frozen=True, kw_only=True, slots=True)
class Secret:
    """Keys of one Kubernetes Secret and the variables a step finds them in."""

    name: str
    variables: dict[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Needs:
    """One row of the table."""

    cpu: str
    memory: str
    """Requested and, so that a node is never overcommitted, also the limit."""
    timeout_s: int
    """One attempt's limit."""
    gpus: int = 0
    gpu_type: str = "nvidia.com/gpu"
    shared_memory: str = ""
    """Size of /dev/shm; the default of 64 MiB where empty."""
    node_selector: tuple[tuple[str, str], ...] = ()
    tolerations: tuple[str, ...] = ()
    """Taint keys of nodes that the step may use."""
    secrets: tuple[Secret, ...] = ()
    retries: int = 2
    reusable: bool = True
    """Whether a finished step may stand in for the same step of a later run."""


REGISTRY = Secret(
    name="thorax-mlflow", variables={"username": "THORAX_MLFLOW_USERNAME", "password": "THORAX_MLFLOW_PASSWORD"}
)
STORAGE = Secret(
    name="thorax-s3", variables={"access_key": "THORAX_S3_ACCESS_KEY", "secret_key": "THORAX_S3_SECRET_KEY"}
)
PSEUDONYMS = Secret(name="thorax-pseudonyms", variables={"key": "THORAX_PSEUDONYM_KEY"})
ADDRESSES = {
    "home": "THORAX_HOME",
    "audit": "THORAX_AUDIT",
    "audit_witness": "THORAX_AUDIT_WITNESS",
    "mlflow_uri": "THORAX_MLFLOW_URI",
    "s3_endpoint": "THORAX_S3_ENDPOINT",
}
"""Keys of the ConfigMap `thorax-addresses` and their variables; every step gets them."""

HOME_VOLUME, VOLUME_PATH = "thorax-home", "/thorax"
"""A claim that many nodes can write to: what the nodes of a training share. The address `home` is under its path."""
RECORD, RECORD_PATH = "thorax-audit", "/etc/thorax/audit"
"""The Secret by which a step reaches the audit record: key, database, the witness's bucket. The address `audit`."""

GPU_POOL = (("thorax/pool", "gpu"),)
GPU_TAINT = ("nvidia.com/gpu",)

REGISTRATION = Needs(cpu="1", memory="4Gi", timeout_s=HOUR, secrets=(REGISTRY,), retries=3, reusable=False)
EVALUATION = Needs(
    cpu="8",
    memory="32Gi",
    timeout_s=4 * HOUR,
    gpus=1,
    shared_memory="2Gi",
    node_selector=GPU_POOL,
    tolerations=GPU_TAINT,
)
"""What measuring a model takes."""

NEEDS: dict[str, Needs] = {
    "ingest-images": Needs(cpu="4", memory="8Gi", timeout_s=4 * HOUR, secrets=(STORAGE, PSEUDONYMS)),
    "split-dataset": Needs(cpu="1", memory="4Gi", timeout_s=HOUR // 2),
    "train-model": Needs(
        cpu="8",
        memory="32Gi",
        timeout_s=12 * HOUR,
        gpus=1,
        shared_memory="8Gi",
        node_selector=GPU_POOL,
        tolerations=GPU_TAINT,
        retries=3,
    ),
    "train-distributed": Needs(cpu="1", memory="4Gi", timeout_s=13 * HOUR, retries=3),
    "calibrate-model": Needs(cpu="4", memory="16Gi", timeout_s=HOUR),
    "evaluate-model": replace(EVALUATION, secrets=(REGISTRY,)),
    "plan-folds": Needs(cpu="1", memory="4Gi", timeout_s=HOUR // 2),
    "split-fold": Needs(cpu="1", memory="4Gi", timeout_s=HOUR // 2),
    "evaluate-fold": EVALUATION,
    "summarise-folds": Needs(cpu="2", memory="8Gi", timeout_s=HOUR),
    "propose-settings": Needs(cpu="1", memory="2Gi", timeout_s=HOUR // 4),
    "try-settings": Needs(
        cpu="8",
        memory="32Gi",
        timeout_s=12 * HOUR,
        gpus=1,
        shared_memory="8Gi",
        node_selector=GPU_POOL,
        tolerations=GPU_TAINT,
        retries=3,
    ),
    "choose-settings": Needs(cpu="2", memory="4Gi", timeout_s=HOUR // 2),
    "check-drift": Needs(cpu="2", memory="4Gi", timeout_s=HOUR, secrets=(REGISTRY, STORAGE), retries=2, reusable=False),
    "take-new-images": Needs(cpu="4", memory="8Gi", timeout_s=4 * HOUR, secrets=(STORAGE, PSEUDONYMS)),
    "merge-datasets": Needs(cpu="2", memory="4Gi", timeout_s=HOUR, secrets=(REGISTRY, STORAGE)),
    "compare-on-recent": replace(EVALUATION, secrets=(REGISTRY,)),
    "package-model": Needs(cpu="2", memory="8Gi", timeout_s=HOUR),
    "check-gates": Needs(cpu="2", memory="8Gi", timeout_s=HOUR, retries=0, reusable=False),
    "register-model": Needs(cpu="1", memory="4Gi", timeout_s=HOUR, secrets=(REGISTRY,), retries=3, reusable=False),
    "register-retrained": Needs(cpu="1", memory="4Gi", timeout_s=HOUR, secrets=(REGISTRY,), retries=3, reusable=False),
}


def declare(*tasks: PipelineTask) -> None:
    """Put on each task the row of its component."""
    for task in tasks:
        _declare(task)


def _declare(task: PipelineTask) -> None:
    needs = NEEDS[task.name]
    task.set_cpu_request(needs.cpu).set_cpu_limit(needs.cpu)
    task.set_memory_request(needs.memory).set_memory_limit(needs.memory)
    task.set_caching_options(needs.reusable)
    if needs.gpus:
        task.set_accelerator_type(needs.gpu_type).set_accelerator_limit(needs.gpus)
    if needs.retries:
        task.set_retry(needs.retries, backoff_duration="30s", backoff_factor=2.0, backoff_max_duration="600s")
    kubernetes.set_timeout(task, seconds=needs.timeout_s)
    kubernetes.use_config_map_as_env(task, config_map_name="thorax-addresses", config_map_key_to_env=ADDRESSES)
    for secret in needs.secrets:
        kubernetes.use_secret_as_env(task, secret_name=secret.name, secret_key_to_env=secret.variables)
    if needs.shared_memory:
        kubernetes.empty_dir_mount(
            task, volume_name="shared-memory", mount_path=SHARED_MEMORY, medium="Memory", size_limit=needs.shared_memory
        )
    kubernetes.use_secret_as_volume(task, secret_name=RECORD, mount_path=RECORD_PATH)
    kubernetes.mount_pvc(task, pvc_name=HOME_VOLUME, mount_path=VOLUME_PATH)
    for key, value in needs.node_selector:
        kubernetes.add_node_selector(task, label_key=key, label_value=value)
    for taint in needs.tolerations:
        kubernetes.add_toleration(task, key=taint, operator="Exists", effect="NoSchedule")


def machine(step: str = "train-model") -> dict[str, Any]:
    """Return the row of a training step as `train-distributed` wants it: what each process gets of its node.

    The nodes get no secret: training needs none.
    """
    needs = NEEDS[step]
    return {
        "cpu": int(needs.cpu),
        "memory": needs.memory,
        "gpu_type": needs.gpu_type if needs.gpus else "",
        "shared_memory": needs.shared_memory,
        "node_selector": dict(needs.node_selector),
        "tolerations": list(needs.tolerations),
        "volume": HOME_VOLUME,
        "volume_path": VOLUME_PATH,
        "timeout_s": needs.timeout_s,
    }
