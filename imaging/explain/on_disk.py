"""From a model directory or an architecture's name, and an image file, to pictures of its first layer in a folder."""

from dataclasses import dataclass
from pathlib import Path

from imaging import atomic
from imaging.explain.filters import filters_png, first_layer, maps_png
from imaging.explain.subject import as_input, from_directory, from_name, read_packed
from imaging.settings import Settings


@dataclass(frozen=True, kw_only=True, slots=True)
class Explained:
    """What was drawn of a network's first layer.

    Attributes:
        architecture: Its name.
        weights: Where they came from.
        layer: Dotted name of the first layer.
        filters: Their number, and each one's channels, rows and columns.
        maps: Number, rows and columns of the feature maps.
        files: The pictures.
    """

    architecture: str
    weights: str
    layer: str
    filters: tuple[int, ...]
    maps: tuple[int, ...]
    files: tuple[Path, ...]


def explain_filters(source: str, image: Path, out: Path, *, settings: Settings) -> Explained:
    """Draw the first layer's filters and its feature maps of one image, as `filters.png` and `feature_maps.png`.

    Args:
        source: A model directory, or the name of an architecture, whose weights `settings` find.
        image: A PNG or JPEG of anything, or a DICOM radiograph.
        out: The folder to write to, made where absent.
        settings: `weights` and `allow_download` give weights to an architecture.

    Raises:
        NotFoundError: `source` is neither.
        InvalidImageError: the file is no image that can be read.
        ConfigurationError: the weights do not fit.
    """
    subject = from_directory(Path(source)) if Path(source).is_dir() else from_name(source, settings)
    layer = first_layer(subject.model, as_input(read_packed(image, subject), subject))
    files = (out / "filters.png", out / "feature_maps.png")
    for path, picture in zip(files, (filters_png(layer), maps_png(layer)), strict=True):
        atomic.write_bytes(path, picture)
    return Explained(
        architecture=subject.architecture,
        weights=subject.weights,
        layer=layer.name,
        filters=layer.filters.shape,
        maps=layer.maps.shape,
        files=files,
    )
