"""LeNet-5 with tanh and average pooling.

Source: LeCun et al. 1998, "Gradient-based learning applied to document recognition", section II.B. As in every
modern telling, the second convolution sees all six maps, subsampling has no weights, and the output is linear.
"""

from torch import Tensor, nn

from imaging.models.lenet_features import KERNEL, gains, tanh_pooled_twice


class LeNet5(nn.Module):
    """Images (N, 3, size, size) to logits (N, 1000), until `build_model` replaces both ends.

    Args:
        size: 32 as published, which leaves 16 maps of 5x5; 28 leaves 4x4.
    """

    def __init__(self, *, size: int = 32) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Sequential(nn.Conv2d(3, 6, KERNEL), nn.Tanh(), nn.AvgPool2d(2)),
            nn.Sequential(nn.Conv2d(6, 16, KERNEL), nn.Tanh(), nn.AvgPool2d(2)),
        )
        self.pool = nn.Flatten()
        side = ((size - KERNEL + 1) // 2 - KERNEL + 1) // 2
        self.classifier = nn.Sequential(
            nn.Linear(16 * side * side, 120), nn.Tanh(), nn.Linear(120, 84), nn.Tanh(), nn.Linear(84, 1000)
        )
        self.apply(_initialise)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits; what is served, exported or looked into runs layer by layer."""
        return self.classifier(
            self.pool(self._quick(images) if self.training and gains(images) else self.features(images))
        )

    def _quick(self, images: Tensor) -> Tensor:
        first, second = (layer for layer in self.features.modules() if isinstance(layer, nn.Conv2d))
        return tanh_pooled_twice(images, first, second)


def _initialise(layer: nn.Module) -> None:
    """Draw weights that keep the size of what passes through a tanh, either way (Glorot and Bengio 2010)."""
    if isinstance(layer, nn.Conv2d | nn.Linear):
        nn.init.xavier_uniform_(layer.weight)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
