"""A verified package, ready to answer: what every server's worker does once."""

from pathlib import Path
from typing import Any

import torch

from audit.predictions import PredictionSpool
from imaging.allocation import keep_memory
from imaging.dicom.pixels import Limits
from imaging.inference import Predictor
from imaging.settings import Settings
from serving.answer import ModelIdentity, Stage
from serving.decoding.decoders import Decoders, DecodingLimits
from serving.meter import meter_of
from serving.packages import verify_for_serving
from serving.reader import Reader

ROWS_WAITING = 20_000
"""Of the prediction log, in memory while the disk is full; some 20 MB."""


def load_reader(
    package: Path,
    settings: Settings,
    *,
    name: str,
    version: str,
    digest: str,
    stage: Stage = "champion",
    device: str,
    threads: int = 0,
    metrics: Any = None,
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
        threads: Of the network on a processor; as many as cores where 0.
        metrics: TorchServe's, of the worker's context; none in another server.

    Raises:
        ModelPackageError: it is another one, not signed, or could run code.
    """
    keep_memory()
    verify_for_serving(package, digest, settings)
    if threads:
        torch.set_num_threads(threads)
    predictor = Predictor.load(package, device=device, runtime=settings.runtime)
    return Reader(
        predictor=predictor,
        identity=ModelIdentity(name=name, version=version, digest=digest, stage=stage, runtime=predictor.runtime.name),
        spool=PredictionSpool(settings.home / "predictions" / "spool", most_waiting=ROWS_WAITING),
        decoder=Decoders(decoding_limits(settings)),
        meter=meter_of(metrics, version),
    )


def decoding_limits(settings: Settings) -> DecodingLimits:
    """Return what one image may take."""
    return DecodingLimits(
        image=Limits(max_bytes=settings.max_image_bytes, max_pixels=settings.max_image_pixels),
        seconds=settings.decode_timeout_s,
        memory_bytes=settings.decode_memory_bytes,
    )
