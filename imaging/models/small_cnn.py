"""A small convolutional network that learns coarse pictures from nothing: no weights file, seconds on a CPU.

Five blocks of 3x3 convolution, batch normalisation and ReLU, with 2x2 max-pooling between them (the pattern of
Simonyan & Zisserman 2015, section 2.1, with Ioffe & Szegedy 2015), averaged over space before the classifier.
"""

from torch import Tensor, nn

from imaging.models.layers import GlobalAverage

WIDTHS = (16, 32, 64, 96, 128)


class SmallCnn(nn.Module):
    """Images (N, 3, S, S) to logits (N, 1000), as torchvision's builders; the head is replaced by the caller."""

    def __init__(self) -> None:
        super().__init__()
        inputs = (3, *WIDTHS[:-1])
        self.features = nn.Sequential(*(_block(a, b, pool=a != 3) for a, b in zip(inputs, WIDTHS, strict=True)))
        self.pool = GlobalAverage()
        self.classifier = nn.Sequential(nn.Linear(WIDTHS[-1], 1000))

    def forward(self, images: Tensor) -> Tensor:
        """Return logits."""
        return self.classifier(self.pool(self.features(images)))


def _block(inputs: int, outputs: int, *, pool: bool) -> nn.Sequential:
    shrink: list[nn.Module] = [nn.MaxPool2d(2)] if pool else []
    return nn.Sequential(
        *shrink,
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )
