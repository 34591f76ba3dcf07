"""Initial weights: a file of the user's, torchvision's download where allowed, or random numbers said loudly."""

import hashlib
import logging
import re
import socket
from pathlib import Path
from urllib.error import URLError

import torch
from torch import Tensor, nn
from torch.nn import functional

from imaging.config import InputConfig
from imaging.errors import ConfigurationError, NotFoundError, ServiceError
from imaging.models.architectures import MODELS, get_architecture, torchvision_names
from imaging.models.heads import fresh_names, stem_name
from imaging.models.tokens import token_map
from imaging.settings import Settings

logger = logging.getLogger(__name__)

RANDOM = "random"
"""Provenance of a network that starts from nothing."""
SUFFIXES = (".safetensors", ".pt", ".pth")
HASH_IN_NAME = re.compile(r"-([0-9a-f]{8,64})\.\w+$")
"""As in `resnet18-f37072fd.pth`."""
AUXILIARY = ("aux1.", "aux2.", "AuxLogits.")
"""Heads that a file may lack, or hold for nothing."""
AUXILIARY_OUTPUTS = ("aux1.fc2.", "aux2.fc2.", "AuxLogits.fc.")
POSITIONS = "encoder.pos_embedding"
MAY_BE_MISSING = "num_batches_tracked"


def initialise(
    model: nn.Module, architecture: str, settings: Settings, *, pretrained: bool, fed: InputConfig | None = None
) -> str:
    """Give `model` its initial weights below the head.

    Args:
        model: From `build_model`, changed in place; its new layers keep their random weights.
        architecture: Its name.
        settings: `weights` names a file or folder; `allow_download` lets torchvision fetch.
        pretrained: Whether weights that others trained are wanted at all.
        fed: What the network will be fed, which has to be what the weights were trained on.

    Returns:
        Where the weights came from, after what they were trained on: `imagenet:sha256:…` of the file,
        `imagenet:torchvision:…`, `cifar10:sha256:…`, or `random`.

    Raises:
        NotFoundError: when the configured file or folder does not exist.
        ConfigurationError: when the file does not fit the architecture, cannot be read, or expects another input.
        ServiceError: when an allowed download fails.
    """
    known = get_architecture(architecture)
    if not pretrained:
        return RANDOM
    origin = known.weights or "file"
    path = find_weights(settings.weights, architecture)
    if path is not None:
        check_input(architecture, fed)
        digest = checked_digest(path)
        load_backbone(model, architecture, read_weights(path), source=path.name)
        return f"{origin}:sha256:{digest}"
    if settings.allow_download:
        check_input(architecture, fed)
        url = torchvision_url(architecture, settings.weights_mirror)
        state = download(url, settings.home / "weights", timeout_s=settings.http_timeout_s)
        name = url.rsplit("/", 1)[-1]
        load_backbone(model, architecture, state, source=name)
        return f"{origin}:torchvision:{name}"
    logger.warning(
        "NO %s WEIGHTS for %s: training starts from random numbers and will be less accurate; "
        "set THORAX_WEIGHTS to a file or folder, or THORAX_ALLOW_DOWNLOAD=true",
        (known.weights or "pretrained").upper(),
        architecture,
    )
    return RANDOM


def check_input(architecture: str, config: InputConfig | None) -> None:
    """Refuse to normalise otherwise than the weights were trained with.

    Grey networks are let be: the summed filters of a stem have no mean and deviation of their own.

    Raises:
        ConfigurationError: for another mean or standard deviation; the message says which are right.
    """
    known = get_architecture(architecture)
    if config is None or config.channels != 3 or not known.weights:
        return
    if (config.mean, config.std) != (known.mean, known.std):
        raise ConfigurationError(
            f"the {known.weights} weights of {architecture} expect input.mean {known.mean} and input.std {known.std}, "
            f"got {config.mean} and {config.std}; set these, or pretrained to false"
        )


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
    longer = [
        name for name in (*MODELS, *torchvision_names()) if name.startswith(architecture) and name != architecture
    ]
    found = sorted(
        path
        for path in place.glob(f"{architecture}*")
        if path.suffix in SUFFIXES and not any(path.name.startswith(name) for name in longer)
    )
    return found[0] if found else None


def checked_digest(path: Path) -> str:
    """Return the SHA-256 of a weights file, which begins as its name ends where that is like torchvision's.

    Raises:
        ConfigurationError: the file is not the one that its name says.
    """
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    promised = HASH_IN_NAME.search(path.name)
    if promised and not digest.startswith(promised[1]):
        raise ConfigurationError(
            f"{path.name} has the SHA-256 {digest[:16]}…, its name promises {promised[1]}…: it is damaged or renamed"
        )
    return digest


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
    """Copy everything that is not new in `model` from `state`, which has the published names.

    Raises:
        ConfigurationError: when names or shapes do not fit, or a number is not finite.
    """
    fresh = fresh_names(model)
    wanted = {name: value for name, value in model.state_dict().items() if not name.startswith(fresh)}
    given = {name: value for name, value in state.items() if not name.startswith(_not_taken(model, fresh))}
    stem = f"{stem_name(model)}.weight"
    if stem in given and stem in wanted and wanted[stem].shape[1] == 1 and given[stem].shape[1] == 3:
        given[stem] = given[stem].sum(1, keepdim=True)
    _fit_positions(given, wanted)
    missing = [name for name in wanted if name not in given and not name.endswith(MAY_BE_MISSING)]
    missing = [name for name in missing if not name.startswith(AUXILIARY)]
    unfit = [name for name in given if name not in wanted or given[name].shape != wanted[name].shape]
    if missing or unfit:
        raise ConfigurationError(
            f"{source} does not fit {architecture}: {len(missing)} tensors missing and {len(unfit)} that do not fit, "
            f"the first being {(missing + unfit)[0]}; expected its published names"
        )
    if not all(torch.isfinite(value).all() for value in given.values() if value.is_floating_point()):
        raise ConfigurationError(f"{source} holds numbers that are not finite")
    model.load_state_dict(given, strict=False)


def _not_taken(model: nn.Module, fresh: tuple[str, ...]) -> tuple[str, ...]:
    """Return the beginnings of the names of a file's weights that the network has no use for."""
    children = dict(model.named_children())
    auxiliary = tuple(name for name in AUXILIARY if children.get(name.rstrip(".")) is None)
    return (*fresh, *auxiliary, *AUXILIARY_OUTPUTS)


def _fit_positions(given: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    """Stretch a vision transformer's positions to the grid of another input size."""
    new, old = wanted.get(POSITIONS), given.get(POSITIONS)
    if new is None or old is None or new.shape == old.shape or old.ndim != 3 or old.shape[2] != new.shape[2]:
        return
    side = round((new.shape[1] - 1) ** 0.5)
    grid = functional.interpolate(token_map(old), size=(side, side), mode="bicubic", align_corners=True)
    given[POSITIONS] = torch.cat([old[:, :1], grid.flatten(2).transpose(1, 2)], dim=1)


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
