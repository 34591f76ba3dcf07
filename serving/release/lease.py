"""Who of several controllers acts: a Kubernetes Lease, held by one at a time.

The holder renews it; another takes it over when it has not changed for its whole length by the taker's own clock, so
clocks need not agree. Should a holder be cut off in the middle of a reconciliation and come back late, its change
still names the state it was made from, and is refused.
"""

import os
import socket
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from imaging.errors import ServiceError

LENGTH_S = 30.0
RENEW_AFTER_S = 10.0
CALL_WITHIN_S = 10
CONFLICT, ABSENT = 409, 404


class Lease:
    """One lease, as one process sees it."""

    def __init__(
        self, namespace: str, name: str, *, api: Any, me: str = "", clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Name the lease; `api` is a `CoordinationV1Api`, `me` this process where absent."""
        self._namespace, self._name, self._api, self._clock = namespace, name, api, clock
        self.me = me or f"{os.environ.get('HOSTNAME') or socket.gethostname()}-{uuid.uuid4().hex[:8]}"
        self.holder = ""
        """Who holds it, when it was last looked at."""
        self._seen = ("", 0.0)
        self._renewed = float("-inf")

    def hold(self) -> bool:
        """Take or renew it where that may be; True where it is ours now.

        Raises:
            ServiceError: the cluster does not answer or refuses.
        """
        now = self._clock()
        if self.holder == self.me and now - self._renewed < RENEW_AFTER_S:
            return True
        found = self._call("read_namespaced_lease", self._name, self._namespace)
        if found is None:
            body = {"metadata": {"name": self._name}, "spec": self._spec(changes=0)}
            return self._taken(self._call("create_namespaced_lease", self._namespace, body), now)
        self.holder = found.spec.holder_identity or ""
        version = found.metadata.resource_version
        if self._seen[0] != version:
            self._seen = (version, now)
        is_stale = now - self._seen[1] >= (found.spec.lease_duration_seconds or LENGTH_S)
        if self.holder not in ("", self.me) and not is_stale:
            return False
        changes = (found.spec.lease_transitions or 0) + (self.holder != self.me)
        body = {"metadata": {"name": self._name, "resourceVersion": version}, "spec": self._spec(changes)}
        return self._taken(self._call("replace_namespaced_lease", self._name, self._namespace, body), now)

    def release(self) -> None:
        """Let it go, so that another need not wait; one that is not ours stays."""
        if self.holder != self.me:
            return
        self.holder = ""
        found = self._call("read_namespaced_lease", self._name, self._namespace)
        if found is not None and found.spec.holder_identity == self.me:
            spec = {**self._spec(found.spec.lease_transitions or 0), "holderIdentity": ""}
            body = {"metadata": {"name": self._name, "resourceVersion": found.metadata.resource_version}, "spec": spec}
            self._call("replace_namespaced_lease", self._name, self._namespace, body)

    def _spec(self, changes: int) -> dict[str, Any]:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        return {
            "holderIdentity": self.me,
            "leaseDurationSeconds": int(LENGTH_S),
            "renewTime": now,
            "leaseTransitions": changes,
        }

    def _taken(self, made: Any, now: float) -> bool:
        if made is None:  # another was first
            return False
        self.holder, self._renewed = self.me, now
        return True

    def _call(self, name: str, *arguments: Any) -> Any:
        """Return what the cluster says; None for an object that is absent or was changed by another."""
        from kubernetes.client.exceptions import ApiException
        from urllib3.exceptions import HTTPError

        try:
            return getattr(self._api, name)(*arguments, _request_timeout=CALL_WITHIN_S)
        except ApiException as error:
            if error.status in (ABSENT, CONFLICT):
                return None
            raise ServiceError(f"the cluster refuses the lease: HTTP {error.status} {error.reason}") from error
        except HTTPError as error:
            raise ServiceError(f"the cluster's API does not answer: {type(error).__name__}") from error
