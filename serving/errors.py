"""What can go wrong between a client, TorchServe and a release; each with its stable code."""

from typing import ClassVar

from imaging.errors import ServiceError, ThoraxError


class BadRequestError(ThoraxError):
    """An option of a request that cannot be; the image was not looked at."""

    code = "bad_request"
    http_status: ClassVar[int] = 400


class AccessDeniedError(ServiceError):
    """A token that is missing, wrong or expired."""

    code = "access_denied"


class UnauthenticatedError(ThoraxError):
    """A request without a token that is known here; the image was not looked at."""

    code = "unauthenticated"
    http_status: ClassVar[int] = 401


class NotReleasedError(ServiceError):
    """A loaded version whose release is not completed: it answers nobody yet, or no more."""

    code = "not_released"


class ModelLoadError(ServiceError):
    """TorchServe answers, but does not get this model to work."""

    code = "model_load_failed"


class SmokeTestError(ThoraxError):
    """A loaded model whose answer to its reference image is not the one it was packaged with."""

    code = "smoke_test_failed"


class RolloutBreachError(ThoraxError):
    """A version that broke a bound of the rollout plan while it took over."""

    code = "rollout_breach"


class RefusedError(ThoraxError):
    """The server's coded refusal of one request, as the client raises it."""

    def __init__(self, code: str, detail: str, *, status: int, request_id: str = "") -> None:
        """Keep the refusal's own `code`, so that it is what the user sees."""
        super().__init__(detail)
        self.code = code  # type: ignore[misc]  # the code of this one refusal, not of the class
        self.status = status
        self.request_id = request_id
