"""GoogLeNet for small pictures.

Source: Szegedy et al. 2015, "Going deeper with convolutions", table 1, as torchvision builds it (with batch norm).
The stem of the paper shrinks 224 px to 28; this one has its three convolutions and keeps 32 px, so that the inception
modules and the auxiliary heads see maps of the sides they were made for: 32, 16 and 8 in place of 28, 14 and 7.
"""

from torch import nn
from torchvision.models import GoogLeNet
from torchvision.models.googlenet import BasicConv2d


class CifarGoogLeNet(GoogLeNet):
    """Images (N, 3, S, S) to logits (N, 1000), until `build_model` replaces the head."""

    def __init__(self, *, auxiliary: bool = False) -> None:
        super().__init__(aux_logits=auxiliary, init_weights=False)
        self.conv1 = BasicConv2d(3, 64, kernel_size=3, padding=1)
        self.maxpool1 = nn.Identity()  # type: ignore[assignment]
        self.maxpool2 = nn.Identity()  # type: ignore[assignment]
