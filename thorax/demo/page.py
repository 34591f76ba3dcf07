"""The demo's local page: pictures first, then reports, links and what to try next."""

import base64
from pathlib import Path
from typing import Any

from imaging.atomic import write_text


def write_page(path: Path, told: dict[str, Any]) -> None:
    """Write the page, with every picture inside it."""
    from jinja2 import Environment

    picture = data_uri((Path(__file__).parent / "loop.svg").read_bytes(), "image/svg+xml")
    template = Environment(autoescape=True).from_string((Path(__file__).parent / "page.html").read_text())
    write_text(path, template.render(picture=picture, **told))


def data_uri(content: bytes, media_type: str) -> str:
    """Return `content` as a link that needs no second file."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"
