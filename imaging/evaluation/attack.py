"""The fast gradient sign attack: how small a change, made on purpose, turns the answers.

Goodfellow, Shlens & Szegedy 2015, "Explaining and Harnessing Adversarial Examples", section 4. An indicator, not a
bound: stronger attacks exist, and nobody draws one by accident.
"""

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from imaging.inference import BATCH, Predictor
from imaging.models.preprocessing import LEVELS, to_input, toned

Images = npt.NDArray[np.uint8]


def gradient_signs(predictor: Predictor, images: Images, labels: npt.NDArray[np.int64]) -> npt.NDArray[np.int16]:
    """Return for each pixel whether more of it raises the loss of the true class: -1, 0 or 1, shaped as `images`.

    Of a tone that depends on the image's histogram the gradient is taken at the changed values: tones keep the order
    of the grey levels, and so the sign.
    """
    device = next(predictor.model.parameters()).device
    config = predictor.info.input
    linear = config.model_copy(update={"tone": "linear"})
    parts = []
    for start in range(0, len(images), BATCH):
        packed = torch.from_numpy(np.array(images[start : start + BATCH])).to(device)
        # in double precision, of which `to_input` makes a copy that it may overwrite
        levels = (toned(packed, config.tone).double() * (LEVELS - 1)).requires_grad_()
        truth = torch.from_numpy(labels[start : start + BATCH]).to(device)
        with torch.enable_grad():
            loss = functional.cross_entropy(predictor.model(to_input(levels, linear)), truth, reduction="sum")
            (gradient,) = torch.autograd.grad(loss, levels)
        parts.append(gradient.sign().to(torch.int16).cpu().numpy())
    return np.concatenate(parts)


def attacked(images: Images, signs: npt.NDArray[np.int16], epsilon: int) -> Images:
    """Return the images after a step of `epsilon` grey levels."""
    return (images.astype(np.int16) + epsilon * signs).clip(0, LEVELS - 1).astype(np.uint8)
