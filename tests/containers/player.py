"""Plays the pods of a rendered overlay with podman: images, arguments, environment, volumes, confinement as written.

What only a cluster has is given here: Secrets and ConfigMaps that nobody makes, names of Services as names of pods, and
the order in which a pod's containers start.
"""

import json
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from imaging.settings import Settings
from thorax.cluster.manifests import containers

NETWORK = "thorax-test"
UID = "10001"


def podman(*arguments: str, check: bool = True, timeout: float = 300) -> "subprocess.CompletedProcess[str]":
    """Run podman; its own complaint of a machine without systemd is left out."""
    done = subprocess.run(["podman", *arguments], capture_output=True, text=True, timeout=timeout, check=False)
    done.stderr = "\n".join(line for line in done.stderr.splitlines() if "systemd" not in line)
    if check and done.returncode:
        raise AssertionError(f"podman {' '.join(arguments[:3])}…: {done.returncode}\n{done.stderr}\n{done.stdout}")
    return done


@dataclass
class Cluster:
    """The objects, what is given beside them, and a folder for volumes."""

    objects: list[dict[str, Any]]
    folder: Path
    secrets: dict[tuple[str, str], dict[str, str]] = field(default_factory=dict)
    configs: dict[tuple[str, str], dict[str, str]] = field(default_factory=dict)
    changes: dict[str, dict[str, str]] = field(default_factory=dict)
    """More environment by container."""
    mounts: tuple[str, ...] = ()
    """More volumes for each container, as `podman run -v` takes them."""

    registry: str = ""
    """Where this machine reaches the registry."""

    def settings(self, role: str) -> Settings:
        """Return how a user of the registry signs in."""
        password = self.secrets["thorax-platform", "thorax-registry"][role]
        return Settings(mlflow_uri=self.registry, mlflow_username=role, mlflow_password=password)

    def template(self, kind: str, name: str) -> tuple[str, dict[str, Any]]:
        """Return namespace and pod spec of a workload."""
        (one,) = [one for one in self.objects if one["kind"] == kind and one["metadata"]["name"] == name]
        spec = one["spec"]
        template = (spec["jobTemplate"]["spec"] if kind == "CronJob" else spec)["template"]
        return one["metadata"]["namespace"], template["spec"]

    def config(self, namespace: str, name: str) -> Mapping[str, str]:
        if (namespace, name) in self.configs:
            return self.configs[namespace, name]
        (one,) = [
            one
            for one in self.objects
            if (one["kind"], one["metadata"].get("namespace"), one["metadata"]["name"])
            == ("ConfigMap", namespace, name)
        ]
        return one["data"]

    def environment(self, namespace: str, box: dict[str, Any]) -> dict[str, str]:
        """Return what the kubelet would give a container."""
        found: dict[str, str] = {}
        for source in box.get("envFrom", []):
            found |= self.config(namespace, source["configMapRef"]["name"])
        for one in box.get("env", []):
            if "value" in one:
                found[one["name"]] = one["value"]
                continue
            source = one["valueFrom"]
            if "secretKeyRef" in source:
                key = source["secretKeyRef"]
                found[one["name"]] = self.secrets[namespace, key["name"]][key["key"]]
            else:
                key = source["configMapKeyRef"]
                found[one["name"]] = self.config(namespace, key["name"])[key["key"]]
        return found | self.changes.get(box["name"], {})

    def volume(self, pod: str, namespace: str, volume: dict[str, Any]) -> Path:
        """Make a volume's folder: of the pod, or for claims of all of them."""
        if "persistentVolumeClaim" in volume:
            path = self.folder / "claims" / volume["persistentVolumeClaim"]["claimName"]
        else:
            path = self.folder / pod / volume["name"]
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(0o777)
        given: Mapping[str, str] = {}
        if "secret" in volume:
            given = self.secrets[namespace, volume["secret"]["secretName"]]
        if "configMap" in volume:
            given = self.config(namespace, volume["configMap"]["name"])
        for name, text in given.items():
            (path / name).write_text(text)
            (path / name).chmod(0o444)
        return path

    def begin(self, kind: str, name: str, *, alias: str = "", publish: tuple[str, ...] = ()) -> "Pod":
        """Make a pod, run its first containers to their ends, start the others."""
        namespace, spec = self.template(kind, name)
        pod = Pod(cluster=self, name=name, namespace=namespace, spec=spec)
        pod.create(alias or name, publish)
        for box in spec.get("initContainers", []):
            done = pod.run(box)
            assert done.returncode == 0, f"{box['name']}: {done.stderr}{done.stdout}"
        return pod


@dataclass
class Pod:
    """One pod of a workload."""

    cluster: Cluster
    name: str
    namespace: str
    spec: dict[str, Any]

    def create(self, alias: str, publish: tuple[str, ...]) -> None:
        podman("pod", "rm", "-f", self.name, check=False)
        ports = [word for one in publish for word in ("-p", one)]
        podman("pod", "create", "--name", self.name, "--network", f"{NETWORK}:alias={alias}", *ports)

    def options(self, box: dict[str, Any]) -> list[str]:
        """Return `podman run`'s options for a container, as the manifest confines it."""
        context, limits = box["securityContext"], box["resources"]["limits"]
        assert context["readOnlyRootFilesystem"]
        assert not context["allowPrivilegeEscalation"]
        user = self.spec["securityContext"]
        found = ["--pod", self.name, "--name", f"{self.name}-{box['name']}", "--user"]
        found += [f"{user['runAsUser']}:{user['runAsGroup']}", "--read-only", "--read-only-tmpfs=false"]
        found += ["--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--pull", "never"]
        found += ["--memory", limits["memory"].replace("Gi", "g").replace("Mi", "m"), "--pids-limit", "2048"]
        for key, value in self.cluster.environment(self.namespace, box).items():
            found += ["-e", f"{key}={value}"]
        volumes = {volume["name"]: volume for volume in self.spec.get("volumes", [])}
        for mount in box.get("volumeMounts", []):
            path = self.cluster.volume(self.name, self.namespace, volumes.get(mount["name"], {"name": mount["name"]}))
            found += ["-v", f"{path}:{mount['mountPath']}{':ro' if mount.get('readOnly') else ''}"]
        for mount in self.cluster.mounts:
            found += ["-v", mount]
        return found

    def run(self, box: dict[str, Any], *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run a container to its end."""
        podman("rm", "-f", f"{self.name}-{box['name']}", check=False)
        return podman("run", *self.options(box), box["image"], *(arguments or box["args"]), check=False)

    def start(self, name: str) -> None:
        """Start one of the lasting containers."""
        podman("rm", "-f", f"{self.name}-{name}", check=False)
        box = self.box(name)
        podman("run", "-d", *self.options(box), box["image"], *box["args"])

    def box(self, name: str) -> dict[str, Any]:
        (box,) = [box for box in containers(self.spec) if box["name"] == name]
        return box

    def probe(self, name: str, kind: str = "readinessProbe") -> bool:
        """Run a container's own probe inside it, as the kubelet would."""
        command = self.box(name)[kind]["exec"]["command"]
        return podman("exec", f"{self.name}-{name}", *command, check=False).returncode == 0

    def wait(self, name: str, kind: str = "readinessProbe", within_s: float = 240) -> None:
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            if self.probe(name, kind):
                return
            assert self.is_running(name), f"{name} ended:\n{self.logs(name)}"
            time.sleep(1)
        raise AssertionError(f"{name} did not become ready:\n{self.logs(name)}")

    def is_running(self, name: str) -> bool:
        found = podman("inspect", f"{self.name}-{name}", check=False)
        return found.returncode == 0 and bool(json.loads(found.stdout)[0]["State"]["Running"])

    def logs(self, name: str) -> str:
        found = podman("logs", f"{self.name}-{name}", check=False)
        return (found.stdout + found.stderr)[-4000:]

    def stop(self, name: str, within_s: int = 60) -> int:
        """End a container by SIGTERM and return its status."""
        podman("stop", "-t", str(within_s), f"{self.name}-{name}")
        return int(json.loads(podman("inspect", f"{self.name}-{name}").stdout)[0]["State"]["ExitCode"])
