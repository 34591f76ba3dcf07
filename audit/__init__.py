"""The append-only, hash-chained, signed record of everything the platform does; it knows nothing of images or models.

`record(...)` appends to the default log, `AuditLog(folder)` to any. `audit.predictions` is the durable spool
that a server writes one row a request to.
"""

from audit.errors import AuditError
from audit.event import Action, AuditEvent
from audit.log import AuditLog, default_folder, record
from audit.verification import Verification

__all__ = ["Action", "AuditError", "AuditEvent", "AuditLog", "Verification", "default_folder", "record"]
