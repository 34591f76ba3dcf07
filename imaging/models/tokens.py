"""The first block of a vision transformer: patches, class token and positions.

Source: Dosovitskiy et al. 2021, "An image is worth 16x16 words", section 3.1, as torchvision's `VisionTransformer`.
"""

import torch
from torch import Tensor, nn


class Tokens(nn.Module):
    """Images (N, C, S, S) to tokens (N, 1 + patches, F); shares its parameters with the network."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        encoder = model.get_submodule("encoder")
        self.patches = model.get_submodule("conv_proj")
        self.class_token = model.get_parameter("class_token")
        self.positions = encoder.get_parameter("pos_embedding")
        self.dropout = encoder.get_submodule("dropout")

    def forward(self, images: Tensor) -> Tensor:
        """Return tokens, the class token first."""
        patches = self.patches(images).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.class_token.expand(images.shape[0], -1, -1), patches], dim=1)
        return self.dropout(tokens + self.positions)


def token_map(tokens: Tensor) -> Tensor:
    """Return the patches of tokens (N, 1 + g*g, F) as a feature map (N, F, g, g)."""
    side = round((tokens.shape[1] - 1) ** 0.5)
    return tokens[:, 1:].transpose(1, 2).unflatten(2, (side, side))
