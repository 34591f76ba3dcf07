"""A Kubernetes Deployment as a release sees it: which version its pods are told to serve, and how far they are."""

from dataclasses import dataclass
from typing import Any

from imaging.errors import NotFoundError, ServiceError

VERSION, DIGEST = "THORAX_MODEL_VERSION", "THORAX_MODEL_DIGEST"
"""What the pods' first container fetches and verifies; without a version it waits."""
RELEASE, PREVIOUS, PREVIOUS_DIGEST = "thorax/release", "thorax/previous-version", "thorax/previous-digest"
"""Annotations of the Deployment: the release under way or done, and the way back from it."""
CALL_WITHIN_S = 20
CONFLICT, ABSENT = 409, 404


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """Where the pods stand."""

    version: str
    """That the pod template names; empty before the first release."""
    digest: str
    release: str
    previous: str
    previous_digest: str
    resource_version: str
    is_done: bool
    """Every pod is of this template, and ready."""
    is_stuck: bool
    """The cluster gave up waiting for the new pods; the old ones go on answering."""
    ready: int
    wanted: int


class DeploymentTarget:
    """One Deployment, changed by its pod template alone: the cluster brings new pods up before old ones go."""

    def __init__(self, namespace: str, name: str, *, container: str = "fetch", api: Any = None) -> None:
        """Name the Deployment and its first container; `api` is an `AppsV1Api`, of the cluster around where absent."""
        self._namespace, self._name, self._container = namespace, name, container
        self._api = api or connect().AppsV1Api()

    def read(self) -> Standing:
        """Return where it stands.

        Raises:
            NotFoundError: there is none. ServiceError: the API does not answer or refuses.
        """
        found = self._call("read_namespaced_deployment", self._name, self._namespace)
        notes = found.metadata.annotations or {}
        named = {one.name: one.value or "" for one in self._first(found).env or []}
        status, wanted = found.status, found.spec.replicas or 0
        seen = (status.observed_generation or 0) >= (found.metadata.generation or 0)
        conditions = {one.type: one for one in status.conditions or []}
        progressing = conditions.get("Progressing")
        updated, ready = status.updated_replicas or 0, status.available_replicas or 0
        return Standing(
            version=named.get(VERSION, ""),
            digest=named.get(DIGEST, ""),
            release=notes.get(RELEASE, ""),
            previous=notes.get(PREVIOUS, ""),
            previous_digest=notes.get(PREVIOUS_DIGEST, ""),
            resource_version=found.metadata.resource_version,
            is_done=seen and updated == ready == (status.replicas or 0) >= max(wanted, 1),
            is_stuck=seen and progressing is not None and progressing.reason == "ProgressDeadlineExceeded",
            ready=ready,
            wanted=wanted,
        )

    def serve(self, standing: Standing, *, version: str, digest: str, release: str, may_return: bool) -> bool:
        """Tell the pods to serve a version; False where somebody changed the Deployment since `standing` was read.

        Args:
            standing: As `read` returned it.
            version: Of the registry.
            digest: Of its package; the pods refuse another one.
            release: Names this release.
            may_return: Whether what is served now is the way back from it.
        """
        back = (standing.version, standing.digest) if may_return else ("", "")
        notes = {RELEASE: release, PREVIOUS: back[0], PREVIOUS_DIGEST: back[1]}
        env = [{"name": VERSION, "value": version}, {"name": DIGEST, "value": digest}]
        pod = {
            "metadata": {"annotations": {"thorax/model-version": version, "thorax/model-digest": digest}},
            "spec": {"initContainers": [{"name": self._container, "env": env}]},
        }
        change = {
            "metadata": {"resourceVersion": standing.resource_version, "annotations": notes},
            "spec": {"template": pod},
        }
        try:
            self._call("patch_namespaced_deployment", self._name, self._namespace, change)
        except _ChangedError:
            return False
        return True

    def _first(self, found: Any) -> Any:
        for container in found.spec.template.spec.init_containers or []:
            if container.name == self._container:
                return container
        raise ServiceError(f"the deployment {self._name} has no first container {self._container!r}: is it ours?")

    def _call(self, name: str, *arguments: Any) -> Any:
        from kubernetes.client.exceptions import ApiException
        from urllib3.exceptions import HTTPError

        try:
            return getattr(self._api, name)(*arguments, _request_timeout=CALL_WITHIN_S)
        except ApiException as error:
            if error.status == CONFLICT:
                raise _ChangedError from error
            if error.status == ABSENT:
                raise NotFoundError(f"no deployment {self._name} in the namespace {self._namespace}") from error
            raise ServiceError(f"the cluster refuses: HTTP {error.status} {error.reason}") from error
        except HTTPError as error:
            raise ServiceError(f"the cluster's API does not answer: {type(error).__name__}") from error


class _ChangedError(Exception):
    """Somebody else wrote the object since it was read."""


def connect() -> Any:
    """Return the client, set to the cluster that this pod runs in, else to the one that kubectl would ask.

    Raises:
        ServiceError: there is none.
    """
    from kubernetes import client, config
    from kubernetes.config.config_exception import ConfigException

    try:
        try:
            config.load_incluster_config()
        except ConfigException:
            config.load_kube_config()
    except (ConfigException, OSError) as error:
        raise ServiceError("no cluster: neither a service account in this pod nor a kubeconfig") from error
    return client
