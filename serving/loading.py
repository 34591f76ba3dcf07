"""A verified package, ready to answer: what every server's worker does once."""

from pathlib import Path

from audit.predictions import PredictionSpool
from imaging.allocation import keep_memory
from imaging.dicom.pixels import Limits
from imaging.inference import Predictor
from imaging.settings import Settings
from serving.answer import ModelIdentity, Stage
from serving.decoding.decoders import Decoders, DecodingLimits
from serving.packages import verify_for_serving
from serving.reader import Reader


def load_reader(
    package: Path, settings: Settings, *, name: str, version: str, digest: str, stage: Stage = "champion", device: str
) -> Reader:
    """Load a package once its digest and its signature hold.

    Args:
        package: The model directory.
        settings: Limits, runtime and the home with the prediction log's spool.
        name: Of the registered model.
        version: The registry's.
        digest: That the package must have.
        stage: Where the rollout stands.
        device: Where the network runs.

    Raises:
        ModelPackageError: it is another one, not signed, or could run code.
    """
    keep_memory()
    verify_for_serving(package, digest, settings)
    predictor = Predictor.load(package, device=device, runtime=settings.runtime)
    return Reader(
        predictor=predictor,
        identity=ModelIdentity(name=name, version=version, digest=digest, stage=stage, runtime=predictor.runtime.name),
        spool=PredictionSpool(settings.home / "predictions" / "spool"),
        decoder=Decoders(decoding_limits(settings)),
    )


def decoding_limits(settings: Settings) -> DecodingLimits:
    """Return what one image may take."""
    return DecodingLimits(
        image=Limits(max_bytes=settings.max_image_bytes, max_pixels=settings.max_image_pixels),
        seconds=settings.decode_timeout_s,
        memory_bytes=settings.decode_memory_bytes,
    )
