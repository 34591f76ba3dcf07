"""From a request of any server to a case of the reader; whatever is wrong with it becomes that case's own error."""

import uuid
from collections.abc import Callable, Mapping
from typing import Any

from imaging.errors import InvalidImageError, ServiceError
from serving.errors import BadRequestError, NotReleasedError, UnauthenticatedError
from serving.reader import Case
from serving.request import read_request, read_request_id

OURS = (BadRequestError, InvalidImageError, NotReleasedError, UnauthenticatedError)


def receive(fields: Mapping[str, Any], headers: Mapping[str, Any], may_pass: Callable[[], None]) -> Case:
    """Read a request; never raise.

    Args:
        fields: The body (`body`) or a form's parts, by name.
        headers: By name, in any case.
        may_pass: Raises one of `OURS` for a request that must not be answered; asked before the image is looked at.
    """
    case = Case(request_id=uuid.uuid4().hex)
    try:
        case.request_id = read_request_id(fields, headers) or case.request_id
        may_pass()
        case.request = read_request(fields, headers, case.request_id)
    except OURS as error:
        case.error = error
    except Exception:  # what is raised here fails the batch, unlogged: no request may do that to its neighbours
        case.error = ServiceError("the request could not be read; try again")
    return case
