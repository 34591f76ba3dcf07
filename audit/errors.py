"""Errors of the record, each with a stable `code` that edges turn into an exit status."""

from typing import ClassVar


class AuditError(Exception):
    """The record cannot be written or read as asked."""

    code: ClassVar[str] = "audit_error"


class UnknownActionError(AuditError):
    """An action that is not in `audit.event.Action`."""

    code = "audit_unknown_action"


class UnfitDetailsError(AuditError):
    """Details that are no JSON, too long, or would carry a secret or a patient's identity."""

    code = "audit_unfit_details"


class BusyError(AuditError):
    """Other writers held the database for longer than the timeout."""

    code = "audit_busy"


class DamagedLogError(AuditError):
    """A database, key or export that cannot be used as it is."""

    code = "audit_damaged"


class ForeignWitnessError(AuditError):
    """The witness folder belongs to another log, or this log's key is gone."""

    code = "audit_foreign_witness"
