"""Runs the compiled `train-classifier` in containers, by Kubeflow Pipelines' own `local.DockerRunner`.

`python -m tests.containers.docker_pipeline PLAN`, in a process of its own: `THORAX_IMAGE` names the image of the steps,
`DOCKER_HOST` an engine's socket. The plan is a JSON file with `root`, `arguments`, `environment`, `mounts` and
`network`. Prints the registered version as the last line.
"""

import json
import sys
from pathlib import Path
from typing import Any

import docker
from docker.types import Mount
from kfp import local
from kfp.local import docker_task_handler

from pipelines.compilation import compile_pipeline, one_machine


def run_container(
    client: "docker.DockerClient", image: str, command: list[str], volumes: dict[str, Any], **options: Any
) -> int:
    """Stand in for KFP's, which removes a container as it ends and takes one that is gone for one that succeeded."""
    client.images.get(image)
    container = client.containers.run(image=image, command=command, detach=True, volumes=volumes, **options)
    try:
        for chunk in container.logs(stream=True, follow=True):
            sys.stdout.write(chunk.decode(errors="replace"))
        return int(container.wait()["StatusCode"])
    finally:
        container.remove(force=True)


def main(plan: dict[str, Any]) -> None:
    """Run it, confined as a strict cluster confines pods."""
    root = Path(plan["root"])
    docker_task_handler.run_docker_container = run_container
    confined = {"read_only": True, "cap_drop": ["ALL"], "security_opt": ["no-new-privileges"], "mem_limit": "6g"}
    local.init(
        local.DockerRunner(
            **confined,
            pids_limit=2048,
            shm_size="1g",
            tmpfs={"/tmp": "size=2g,mode=1777"},
            network=plan["network"],
            environment=plan["environment"],
            mounts=[Mount(target, source, type="bind", read_only=fixed) for source, target, fixed in plan["mounts"]],
        ),
        pipeline_root=str(root),
    )
    run = one_machine(compile_pipeline("train-classifier", root / "pipeline.yaml"))(**plan["arguments"])
    sys.stdout.write(f"\n{run.output}\n")


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
