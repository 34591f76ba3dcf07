"""Two of torchvision's networks that pool inside `forward`, with the pooling as a module that can be replaced.

Names and values of their weights are torchvision's.
"""

import torchvision
from torch import Tensor
from torch.nn import functional

from imaging.models.layers import GlobalAverage


class MobileNetV2(torchvision.models.MobileNetV2):
    """Sandler et al. 2018, "MobileNetV2: inverted residuals and linear bottlenecks"."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = GlobalAverage()

    def forward(self, x: Tensor) -> Tensor:
        """Return logits."""
        return self.classifier(self.pool(self.features(x)))


class DenseNet(torchvision.models.DenseNet):
    """Huang et al. 2017, "Densely connected convolutional networks"."""

    def __init__(self, growth_rate: int, block_config: tuple[int, int, int, int], num_init_features: int) -> None:
        super().__init__(growth_rate, block_config, num_init_features)
        self.pool = GlobalAverage()

    def forward(self, x: Tensor) -> Tensor:
        """Return logits."""
        return self.classifier(self.pool(functional.relu(self.features(x), inplace=True)))


def densenet121() -> DenseNet:
    """Build the network of table 1, first column."""
    return DenseNet(32, (6, 12, 24, 16), 64)
