"""The peer of the transfer recipes: logistic regression on frozen ImageNet features, by torchvision and scikit-learn.

Nothing of this platform is in it but the packed pictures and their split.
"""

from pathlib import Path

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torchvision.models import mobilenet_v2

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Of C, the inverse of the penalty: the one that is best on the validation part is taken, the first of equals."""


def linear_head(
    images: np.ndarray, labels: np.ndarray, parts: dict[str, np.ndarray], weights: Path
) -> tuple[np.ndarray, float]:
    """Fit on the train part and choose the penalty on the validation part.

    Args:
        images: Packed, (N, H, W) or (N, H, W, 3), uint8.
        labels: (N,), int.
        parts: Indices of `train`, `val` and `test`.
        weights: MobileNetV2's state on ImageNet.

    Returns:
        Probabilities of the test part (n, classes), and the strength that was chosen.
    """
    known = {name: pooled_features(images[indices], weights) for name, indices in parts.items()}
    fitted = {}
    for strength in STRENGTHS:
        model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=2000, class_weight="balanced"))
        fitted[strength] = model.fit(known["train"], labels[parts["train"]])
    best = max(STRENGTHS, key=lambda strength: fitted[strength].score(known["val"], labels[parts["val"]]))
    return fitted[best].predict_proba(known["test"]), best


@torch.inference_mode()
def pooled_features(images: np.ndarray, weights: Path, *, batch: int = 32) -> np.ndarray:
    """Return the 1,280 values behind the last pooling, of each image."""
    network = mobilenet_v2()
    network.load_state_dict(torch.load(weights, weights_only=True))
    network.eval()
    mean, deviation = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, DEVIATION))
    found = []
    for start in range(0, len(images), batch):
        pixels = torch.from_numpy(np.ascontiguousarray(images[start : start + batch])).float().div(255)
        colours = pixels.unsqueeze(1).expand(-1, 3, -1, -1) if pixels.ndim == 3 else pixels.permute(0, 3, 1, 2)
        found.append(network.features((colours - mean) / deviation).mean((2, 3)))
    return torch.cat(found).numpy()
