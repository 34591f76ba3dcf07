"""The model card: what the model is for, what made it, how good it is and what it cannot do (Mitchell et al. 2019).

`model_card.md` is written from measured facts; `model_card.html` is that text for the browser and the printer.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from imaging.models.directory import ModelInfo
from imaging.packaging.closer_looks import closer_looks, figure_text
from imaging.packaging.sbom import versions
from imaging.training.reports import TrainingReport

TEMPLATES = Path(__file__).parent / "templates"
RESULTS = {
    "AUROC": "auroc",
    "PR-AUC": "average_precision",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "PPV": "ppv",
    "NPV": "npv",
    "F1": "f1",
    "MCC": "mcc",
    "sensitivity at 95 % specificity": "sensitivity_at_95_specificity",
    "specificity at 95 % sensitivity": "specificity_at_95_sensitivity",
}
"""Rows of the card's table of results, by what each is called in an evaluation."""


def render_model_card(
    info: ModelInfo,
    evaluation: Mapping[str, Any],
    manifest: Mapping[str, Any],
    parts: Mapping[str, np.ndarray],
    training: TrainingReport | None,
) -> str:
    """Render the card as Markdown.

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
        looks=closer_looks(evaluation),
        versions=versions(),
        results=RESULTS,
    )


def render_model_card_page(card: str) -> str:
    """Render the card's Markdown as one HTML page that needs nothing else; HTML inside the text stays text."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markdown_it import MarkdownIt
    from markupsafe import Markup

    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(card)
    body = body.replace("<table>", '<div class="scroll"><table>').replace("</table>", "</table></div>")
    environment = Environment(loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, autoescape=True)
    title = card.splitlines()[0].removeprefix("# ")
    page = environment.get_template("model_card.html.j2")
    return page.render(title=title, body=Markup(body))  # noqa: S704  markdown-it escaped what is in it


def sentence(text: str) -> str:
    """Start with a capital and end with a full stop, leaving the rest as it is."""
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")
