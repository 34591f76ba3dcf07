"""The small networks of every tutorial: 3x3 convolutions with ReLU and 2x2 max-pooling, then 128 units."""

from torch import Tensor, nn

UNITS = 128


class StackedCnn(nn.Module):
    """Images (N, 3, size, size) to logits (N, 1000), until `build_model` replaces both ends.

    Args:
        widths: Channels of the convolutions.
        size: Side of the input.
        padding: Of every convolution, in pixels: 1 keeps the side.
        dropout: Behind the 128 units; no such layer where 0.
    """

    def __init__(self, widths: tuple[int, ...], *, size: int, padding: int = 1, dropout: float = 0.0) -> None:
        super().__init__()
        inputs = (3, *widths[:-1])
        self.features = nn.Sequential(*(_block(a, b, padding) for a, b in zip(inputs, widths, strict=True)))
        self.pool = nn.Flatten()
        side = size
        for _ in widths:
            side = (side + 2 * padding - 2) // 2
        drop: list[nn.Module] = [nn.Dropout(dropout)] if dropout else []
        self.classifier = nn.Sequential(
            nn.Linear(widths[-1] * side * side, UNITS), nn.ReLU(), *drop, nn.Linear(UNITS, 1000)
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return logits."""
        return self.classifier(self.pool(self.features(images)))


def cnn_mnist(*, size: int = 28) -> StackedCnn:
    """Build two convolutions that keep the side."""
    return StackedCnn((32, 64), size=size)


def cnn_mnist_valid(*, size: int = 28) -> StackedCnn:
    """Build the same without padding."""
    return StackedCnn((32, 64), size=size, padding=0)


def cnn_cifar10(*, size: int = 32) -> StackedCnn:
    """Build three convolutions, and dropout."""
    return StackedCnn((32, 64, 128), size=size, dropout=0.3)


def folder_cnn(*, size: int = 128) -> StackedCnn:
    """Build two convolutions for pictures of any folder."""
    return StackedCnn((32, 64), size=size)


def _block(inputs: int, outputs: int, padding: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=padding), nn.ReLU(inplace=True), nn.MaxPool2d(2))
