"""`model_card.md`: what the model is for, what made it, how good it is and what it cannot do (Mitchell et al. 2019)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from imaging.models.directory import ModelInfo
from imaging.training.reports import TrainingReport

TEMPLATES = Path(__file__).parent / "templates"


def render_model_card(
    info: ModelInfo,
    evaluation: Mapping[str, Any],
    manifest: Mapping[str, Any],
    parts: Mapping[str, np.ndarray],
    training: TrainingReport | None,
) -> str:
    """Render the card.

    Args:
        info: The model's description.
        evaluation: `evaluation.json`.
        manifest: The dataset's.
        parts: Indices of each part of the split.
        training: What `curves.json` tells; `None` where the directory has none.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(  # noqa: S701  Markdown, not HTML; every value is the platform's own
        loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"figure": figure_text, "sentence": sentence}
    return environment.get_template("model_card.md.j2").render(
        info=info,
        e=evaluation,
        manifest=manifest,
        sizes={name: len(indices) for name, indices in parts.items()},
        training=training,
    )


def figure_text(figure: Mapping[str, float | None]) -> str:
    """Write a figure of `evaluation.json` as `0.931 (0.902 to 0.955)`; `missing` where it is."""
    if figure["value"] is None:
        return "missing"
    if figure["low"] is None or figure["high"] is None:
        return f"{figure['value']:.3f} (no interval)"
    return f"{figure['value']:.3f} ({figure['low']:.3f} to {figure['high']:.3f})"


def sentence(text: str) -> str:
    """Start with a capital and end with a full stop, leaving the rest as it is."""
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")
