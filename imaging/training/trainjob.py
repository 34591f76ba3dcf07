"""One training run on several nodes of a cluster: a TrainJob of Kubeflow Trainer v2, submitted, watched and removed.

Its pods run `process.py` under torchrun. They see the folder that holds the job's description, and nothing else of
ours: training needs no secret and gets none. Staging files there is the caller's.
"""

import contextlib
import logging
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from imaging.config import Frozen
from imaging.errors import ConfigurationError, ServiceError, TrainingProcessError
from imaging.training.messages import Heard

if TYPE_CHECKING:
    from kubeflow.trainer import TrainerClient
    from kubeflow.trainer.types.types import TrainJob

logger = logging.getLogger(__name__)

POLL_S = 10.0
UNANSWERED = 30
"""Polls in a row that the cluster may leave unanswered: five minutes of an API server's upgrade."""
SHARED_MEMORY = "/dev/shm"  # noqa: S108  where Linux keeps it
COMPLETE, FAILED = "Complete", "Failed"
REPLY = (RuntimeError, TimeoutError, OSError)
"""What the SDK raises when the cluster does not answer, or not what was expected."""


class Nodes(Frozen):
    """The machines of a job and what each process gets of its machine."""

    count: int = Field(ge=1)
    processes: int = Field(default=1, ge=1)
    """On each node; one a GPU where there are GPUs."""
    image: str
    """What they run: this project, installed."""
    cpu: int = Field(default=8, ge=1)
    """For each process."""
    memory: str = Field(default="32Gi", pattern=r"^\d+(Mi|Gi)$")
    """For each process."""
    gpu_type: str = "nvidia.com/gpu"
    """Of the one GPU of each process; none where empty."""
    shared_memory: str = ""
    """Size of a node's /dev/shm."""
    node_selector: dict[str, str] = Field(default_factory=dict)
    tolerations: tuple[str, ...] = ()
    """Taint keys of nodes that the job may use."""
    volume: str
    """A PersistentVolumeClaim that many nodes can write to."""
    volume_path: Path
    """Where it is, for the nodes and for who submits."""
    timeout_s: int = Field(default=12 * 3600, ge=1)
    runtime: str = "torch-distributed"
    """A ClusterTrainingRuntime that starts torchrun; this one comes with Kubeflow Trainer."""

    def resources(self) -> dict[str, str]:
        """Return what one node asks for."""
        amount, unit = int(self.memory[:-2]), self.memory[-2:]
        asked = {"cpu": str(self.cpu * self.processes), "memory": f"{amount * self.processes}{unit}"}
        return asked | ({self.gpu_type: str(self.processes)} if self.gpu_type else {})


def connect(kube_config: Path | None = None, *, namespace: str | None = None) -> "TrainerClient":
    """Return a client of the cluster this runs in, or of the one that a kubeconfig names.

    Raises:
        ServiceError: when there is none.
    """
    from kubeflow.common.types import KubernetesBackendConfig
    from kubeflow.trainer import TrainerClient
    from kubernetes.config import ConfigException

    file = None if kube_config is None else str(kube_config)
    try:
        return TrainerClient(backend_config=KubernetesBackendConfig(config_file=file, namespace=namespace))
    except (ConfigException, *REPLY) as error:
        raise ServiceError(
            "training on several nodes needs a Kubernetes cluster: none around this process, and no kubeconfig"
        ) from error


def run_trainjob(
    job_file: Path,
    key: str,
    nodes: Nodes,
    *,
    client: "TrainerClient",
    heard: Heard | None = None,
    poll_s: float = POLL_S,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Run the job that `job_file` describes to its end, and remove it; one of the same key that runs is joined.

    Args:
        job_file: A `process.Job` on the shared volume.
        key: Names the training: lower-case letters and digits.
        nodes: On what.
        client: From `connect`.
        heard: Takes in what the first node says, as it says it.
        poll_s: Seconds between two looks.
        sleep: Waits for so many seconds.

    Raises:
        ConfigurationError: when the nodes would not see `job_file`, or the cluster has no such runtime.
        ServiceError: when the cluster does not answer.
        ThoraxError: what a process failed with, as that class.
        TrainingProcessError: when the job failed without a word, or took longer than it may.
    """
    heard = Heard() if heard is None else heard
    if not job_file.resolve().is_relative_to(nodes.volume_path):
        raise ConfigurationError(
            f"the training nodes see {nodes.volume_path} and not {job_file.resolve()}: THORAX_HOME must be on the "
            f"volume {nodes.volume}"
        )
    name = _running(client, key) or submit(job_file, key, nodes, client=client)
    with _removed_after(name, client):
        job = _end_of(name, nodes, client, heard, poll_s=poll_s, sleep=sleep)
        if job.status != COMPLETE:
            raise _failure(job, nodes, client, heard)


def submit(job_file: Path, key: str, nodes: Nodes, *, client: "TrainerClient") -> str:
    """Create the TrainJob; return its name."""
    from kubeflow.trainer import CustomTrainerContainer

    name = f"{_prefix(key)}{secrets.token_hex(2)}"
    trainer = CustomTrainerContainer(
        image=nodes.image,
        num_nodes=nodes.count,
        resources_per_node=nodes.resources(),
        env={"OMP_NUM_THREADS": str(nodes.cpu)},
    )
    try:
        runtime = client.get_runtime(nodes.runtime)
    except REPLY as error:
        raise ConfigurationError(
            f"the cluster shows no training runtime {nodes.runtime!r}; Kubeflow Trainer's installation brings it"
        ) from error
    try:
        return client.train(runtime=runtime, trainer=trainer, options=_options(name, job_file, nodes))
    except REPLY as error:
        raise ServiceError(f"the cluster did not take the TrainJob: {error.__cause__ or error}") from error


def _options(name: str, job_file: Path, nodes: Nodes) -> list[Callable[..., None]]:
    """Return all that a TrainJob has beside its trainer: command, time limit, and patches of its pods."""
    from kubeflow.trainer import options

    command = ["python", "-m", "torch.distributed.run", f"--nproc-per-node={nodes.processes}"]
    volumes: list[dict] = [{"name": "thorax-home", "persistentVolumeClaim": {"claimName": nodes.volume}}]
    mounts: list[dict] = [{"name": "thorax-home", "mountPath": str(nodes.volume_path)}]
    if nodes.shared_memory:
        memory = {"medium": "Memory", "sizeLimit": nodes.shared_memory}
        volumes.append({"name": "shared-memory", "emptyDir": memory})
        mounts.append({"name": "shared-memory", "mountPath": SHARED_MEMORY})
    pod = options.PodSpecPatch(
        volumes=volumes,
        containers=[options.ContainerPatch(name="node", volume_mounts=mounts)],
        node_selector=nodes.node_selector or None,
        tolerations=[{"key": key, "operator": "Exists", "effect": "NoSchedule"} for key in nodes.tolerations] or None,
    )
    job = options.JobTemplatePatch(spec=options.JobSpecPatch(template=options.PodTemplatePatch(spec=pod)))
    jobs = options.JobSetSpecPatch(replicated_jobs=[options.ReplicatedJobPatch(name="node", template=job)])
    template = options.JobSetTemplatePatch(spec=jobs)
    return [
        options.Name(name),
        options.Labels({"app.kubernetes.io/part-of": "thorax"}),
        options.TrainerCommand([*command, "-m", "imaging.training.process", str(job_file.resolve())]),
        options.ActiveDeadlineSeconds(nodes.timeout_s),
        options.RuntimePatch(training_runtime_spec=options.TrainingRuntimeSpecPatch(template=template)),
    ]


def _prefix(key: str) -> str:
    return f"thorax-{key}-"


def _running(client: "TrainerClient", key: str) -> str:
    """Return the name of a job of this key that somebody began to wait for before us, or nothing."""
    try:
        jobs = client.list_jobs()
    except REPLY as error:
        raise ServiceError("the cluster does not list its TrainJobs: is Kubeflow Trainer installed?") from error
    names = [job.name for job in jobs if job.name.startswith(_prefix(key)) and job.status not in (COMPLETE, FAILED)]
    return names[0] if names else ""


def _end_of(
    name: str,
    nodes: Nodes,
    client: "TrainerClient",
    heard: Heard,
    *,
    poll_s: float,
    sleep: Callable[[float], None],
) -> "TrainJob":
    """Wait for the end of a job, taking in what its first node says."""
    unanswered, lines = 0, 0
    for _ in range(max(1, round(nodes.timeout_s / poll_s))):
        try:
            job = client.get_job(name)
            unanswered = 0
        except REPLY as error:
            unanswered += 1
            if unanswered >= UNANSWERED:
                raise ServiceError(f"the cluster does not tell how the TrainJob {name} is; it may still run") from error
        else:
            lines += _take(client, job, "node-0", heard, after=lines)
            if job.status in (COMPLETE, FAILED):
                return job
        sleep(poll_s)
    raise TrainingProcessError(
        f"the TrainJob {name} took longer than {nodes.timeout_s} s; what was saved is kept, and the same training "
        "goes on from it"
    )


def _take(client: "TrainerClient", job: "TrainJob", node: str, heard: Heard, *, after: int = 0) -> int:
    """Take in what a node said after so many lines; return how many more there were."""
    try:
        said = list(client.get_job_logs(job.name, step=node))[after:]
    except REPLY:  # no pod yet, or none any more
        return 0
    for line in said:
        heard.take(line)
    return len(said)


def _failure(job: "TrainJob", nodes: Nodes, client: "TrainerClient", heard: Heard) -> Exception:
    """Return what a failed job failed with, of any of its nodes."""
    for number in range(1, nodes.count):
        _take(client, job, f"node-{number}", heard)
    states = ", ".join(f"{step.name}: {step.status}" for step in job.steps) or "no pod was started"
    said = heard.failures[0].message if heard.failures else states
    return heard.error() or TrainingProcessError(
        f"the TrainJob {job.name} failed: {said}; what was saved is kept, and the same training goes on from it"
    )


@contextlib.contextmanager
def _removed_after(name: str, client: "TrainerClient") -> Iterator[None]:
    """Remove a job once it is over, or given up; one that the cluster only does not tell of may still be joined."""
    try:
        yield
    except ServiceError:
        raise
    except BaseException:
        _remove(name, client)
        raise
    _remove(name, client)


def _remove(name: str, client: "TrainerClient") -> None:
    try:
        client.delete_job(name)
    except REPLY:
        logger.warning("the TrainJob %s could not be removed", name)
