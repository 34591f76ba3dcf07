"""Whether a version may serve at all: gates on record, and the approval of somebody else than its author."""

from imaging.errors import ReleaseRefusedError
from imaging.registry import VersionInfo
from serving.release.record import ReleaseRecord


def check_may_serve(info: VersionInfo, record: ReleaseRecord) -> None:
    """Hold a version against what the registry and the record say of it.

    Raises:
        ReleaseRefusedError: saying what it lacks.
    """
    gates = info.tags.get("gates", "absent")
    if gates != "passed":
        raise ReleaseRefusedError(f"expected the tag gates=passed, got {gates}")
    if not info.tags.get("package.digest"):
        raise ReleaseRefusedError("the version has no package.digest tag to verify its files by")
    if not record.gates_passed(info.tags["package.digest"]):
        raise ReleaseRefusedError("the record holds no passed gates for this package; a tag alone is no evidence")
    approval = record.approval(info.version)
    if approval is None:
        raise ReleaseRefusedError("nobody's approval is on record; an approver has to make the version champion")
    if approval.actor == (info.tags.get("author") or info.author):
        raise ReleaseRefusedError("the approver is the author of the version; somebody else has to approve it")
