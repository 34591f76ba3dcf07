"""ResNets for 32x32 pictures, with shortcuts that have no weights.

Source: He et al. 2016, "Deep residual learning for image recognition", section 4.2, option A. The names of the
weights are those of github.com/akamaster/pytorch_resnet_cifar10, whose trained files load.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from imaging.models.layers import GlobalAverage


class Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut, which takes every `stride`-th pixel and zeros for new channels."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.stride, self.missing = stride, outputs - inputs

    def forward(self, images: Tensor) -> Tensor:
        """Return a map of the same side, or of half of it."""
        inner = torch.relu(self.bn1(self.conv1(images)))
        shortcut = images[:, :, :: self.stride, :: self.stride]
        if self.missing:
            before = self.missing // 2
            shortcut = functional.pad(shortcut, (0, 0, 0, 0, before, self.missing - before))
        return torch.relu(self.bn2(self.conv2(inner)) + shortcut)


class CifarResNet(nn.Module):
    """Images (N, 3, S, S) to logits (N, 1000), until `build_model` replaces the head.

    Args:
        blocks: In each of the three stages; the depth is 6 times as many, and 2.
    """

    def __init__(self, blocks: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.relu = nn.ReLU(inplace=True)
        self.layer1 = _stage(16, 16, blocks, 1)
        self.layer2 = _stage(16, 32, blocks, 2)
        self.layer3 = _stage(32, 64, blocks, 2)
        self.pool = GlobalAverage()
        self.linear = nn.Linear(64, 1000)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits."""
        stem = self.relu(self.bn1(self.conv1(images)))
        return self.linear(self.pool(self.layer3(self.layer2(self.layer1(stem)))))


def resnet20_cifar() -> CifarResNet:
    """Build the network of 0.27 million weights."""
    return CifarResNet(3)


def resnet56_cifar() -> CifarResNet:
    """Build the network of 0.85 million weights."""
    return CifarResNet(9)


def _stage(inputs: int, outputs: int, blocks: int, stride: int) -> nn.Sequential:
    first = Block(inputs, outputs, stride)
    return nn.Sequential(first, *(Block(outputs, outputs, 1) for _ in range(blocks - 1)))
