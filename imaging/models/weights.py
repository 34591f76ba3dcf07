"""Initial weights: a file of the user's, torchvision's download where allowed, or random numbers said loudly."""

import hashlib
import logging
import socket
from pathlib import Path
from urllib.error import URLError

import torch
from torch import Tensor, nn

from imaging.errors import ConfigurationError, NotFoundError, ServiceError
from imaging.models.architectures import get_architecture
from imaging.settings import Settings

logger = logging.getLogger(__name__)

RANDOM = "random"
"""Provenance of a network that starts from nothing."""
SUFFIXES = (".safetensors", ".pt", ".pth")


def initialise(model: nn.Module, architecture: str, settings: Settings, *, pretrained: bool) -> str:
    """Give `model` its initial weights below the head.

    Args:
        model: From `build_model`, changed in place; its head keeps its random weights.
        architecture: Its name in `MODELS`.
        settings: `weights` names a file or folder; `allow_download` lets torchvision fetch.
        pretrained: Whether ImageNet weights are wanted at all.

    Returns:
        Where the weights came from: `imagenet:sha256:…` of the file, `imagenet:torchvision:…`, or `random`.

    Raises:
        NotFoundError: when the configured file or folder does not exist.
        ConfigurationError: when the file does not fit the architecture or cannot be read.
        ServiceError: when an allowed download fails.
    """
    if not pretrained:
        return RANDOM
    path = find_weights(settings.weights, architecture)
    if path is not None:
        load_backbone(model, architecture, read_weights(path), source=path.name)
        return f"imagenet:sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
    if settings.allow_download:
        url = torchvision_url(architecture, settings.weights_mirror)
        state = download(url, settings.home / "weights", timeout_s=settings.http_timeout_s)
        name = url.rsplit("/", 1)[-1]
        load_backbone(model, architecture, state, source=name)
        return f"imagenet:torchvision:{name}"
    logger.warning(
        "NO IMAGENET WEIGHTS for %s: training starts from random numbers and will be less accurate; "
        "set THORAX_WEIGHTS to a file or folder, or THORAX_ALLOW_DOWNLOAD=true",
        architecture,
    )
    return RANDOM


def find_weights(place: Path | None, architecture: str) -> Path | None:
    """Return the file itself, or the first `<architecture>*` weights file of a folder, or None.

    Raises:
        NotFoundError: when `place` does not exist.
    """
    if place is None:
        return None
    if place.is_file():
        return place
    if not place.is_dir():
        raise NotFoundError(f"no weights at {place}; THORAX_WEIGHTS is a file, or a folder of {architecture}*.pt")
    found = sorted(path for path in place.glob(f"{architecture}*") if path.suffix in SUFFIXES)
    return found[0] if found else None


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read tensors from a safetensors file, or a torch file without running any code in it.

    Raises:
        ConfigurationError: when it holds anything but named tensors.
    """
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file raises whatever the restricted reader stumbles over
        raise ConfigurationError(f"{path.name} is not a readable weights file") from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ConfigurationError(f"{path.name} holds something other than a state dict of tensors")
    return state


def load_backbone(model: nn.Module, architecture: str, state: dict[str, Tensor], *, source: str) -> None:
    """Copy everything but the head of `state` (torchvision's names) into `model`.

    Raises:
        ConfigurationError: when names or shapes do not fit, or a number is not finite.
    """
    known = get_architecture(architecture)
    head = known.head + "."
    wanted = {name: value for name, value in model.state_dict().items() if not name.startswith(head)}
    given = {name: value for name, value in state.items() if not name.startswith(head)}
    stem = f"{known.stem}.weight"
    if stem in given and stem in wanted and wanted[stem].shape[1] == 1 and given[stem].shape[1] == 3:
        given[stem] = given[stem].sum(1, keepdim=True)
    missing = [name for name in wanted if name not in given and not name.endswith("num_batches_tracked")]
    unfit = [name for name in given if name not in wanted or given[name].shape != wanted[name].shape]
    if missing or unfit:
        raise ConfigurationError(
            f"{source} does not fit {architecture}: {len(missing)} tensors missing and {len(unfit)} that do not fit, "
            f"the first being {(missing + unfit)[0]}; expected torchvision's names"
        )
    if not all(torch.isfinite(value).all() for value in given.values() if value.is_floating_point()):
        raise ConfigurationError(f"{source} holds numbers that are not finite")
    model.load_state_dict(given, strict=False)


def torchvision_url(architecture: str, mirror: str = "") -> str:
    """Return where torchvision's default weights are, or the same file on a mirror.

    Raises:
        ConfigurationError: torchvision has no weights of that name.
    """
    import torchvision

    try:
        url = str(torchvision.models.get_model_weights(architecture).DEFAULT.url)  # type: ignore[attr-defined]
    except ValueError as error:
        raise ConfigurationError(f"torchvision has no weights for {architecture}; set pretrained to false") from error
    return f"{mirror.rstrip('/')}/{url.rsplit('/', 1)[-1]}" if mirror else url


def download(url: str, folder: Path, *, timeout_s: float) -> dict[str, Tensor]:
    """Fetch a weights file into `folder`, once, and read it.

    Its name holds the first digits of its SHA-256, as torchvision's do; another content is refused.

    Raises:
        ServiceError: the address does not answer, or what came is not what the name says.
    """
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(timeout_s)  # torch.hub has no timeout of its own
    try:
        state = torch.hub.load_state_dict_from_url(
            url, model_dir=str(folder), map_location="cpu", progress=False, check_hash=True, weights_only=True
        )
    except (URLError, OSError, RuntimeError) as error:
        raise ServiceError(f"weights could not be downloaded from {url}: {error}") from error
    finally:
        socket.setdefaulttimeout(before)
    return dict(state)
