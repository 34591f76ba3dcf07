"""Every error the platform answers with, each with a stable code.

A message says what was expected, what came, and what would do: lower case, no full stop,
never a patient's name, id or dates. Edges map the code to an exit status or an HTTP status.
"""

from typing import ClassVar


class ThoraxError(Exception):
    """The root: something the user can read and act on."""

    code: ClassVar[str] = "thorax_error"


class ConfigurationError(ThoraxError):
    """A setting, recipe, option or name that cannot be."""

    code = "bad_configuration"


class NotFoundError(ThoraxError):
    """A name, file or version that is not there; the message lists what is."""

    code = "not_found"


class DataError(ThoraxError):
    """A dataset or label table that cannot be used."""

    code = "bad_data"


class EmptyDatasetError(DataError):
    """No usable image, or a class without one."""

    code = "empty_dataset"


class PatientOverlapError(DataError):
    """One patient on two sides of a split."""

    code = "patient_overlap"


class TrainingDivergedError(ThoraxError):
    """A loss that is no longer a number."""

    code = "training_diverged"


class TrainingMemoryError(ThoraxError):
    """A batch that does not fit into memory; the message says what would."""

    code = "out_of_memory"


class TrainingProcessError(ThoraxError):
    """A training process, or a job of several, that ended without an error of its own."""

    code = "training_process_failed"


class ModelPackageError(ThoraxError):
    """A model directory that is incomplete, changed or unsafe to load."""

    code = "bad_model_package"


class SignatureError(ModelPackageError):
    """A model package that nobody trusted here has signed as it is."""

    code = "bad_signature"


class GateFailureError(ThoraxError):
    """A model that did not pass every gate."""

    code = "gate_failed"


class ReleaseRefusedError(ThoraxError):
    """A version that may not be served."""

    code = "release_refused"


class ServiceError(ThoraxError):
    """A server that does not answer, or answers with a failure."""

    code = "service_unavailable"


class InvalidImageError(ThoraxError):
    """An image that gets a refusal, not a prediction; `http_status` is the endpoint's answer."""

    code = "malformed_image"
    http_status: ClassVar[int] = 400


class MalformedImageError(InvalidImageError):
    """Bytes that no decoder accepts."""


class ImageTooLargeError(InvalidImageError):
    """More bytes or pixels than the limits allow."""

    code = "image_too_large"
    http_status = 413


class UnsupportedMediaTypeError(InvalidImageError):
    """Not DICOM, PNG or JPEG, or a transfer syntax without a decoder."""

    code = "unsupported_media_type"
    http_status = 415


class NotAChestRadiographError(InvalidImageError):
    """Wrong modality, body part, view, colour or number of frames."""

    code = "not_a_chest_radiograph"
    http_status = 422


class ImageQualityError(InvalidImageError):
    """Blank, constant or too small to read."""

    code = "image_quality"
    http_status = 422
