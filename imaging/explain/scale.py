"""The scale beside an overlay: which colour means how much."""

import io

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from imaging.explain.overlay import COLOURS, STOPS, STRONGEST

PAPER, INK = 255, (31, 41, 51)
GREY = 96
"""What lies under the colours of the scale, as a middling image does under a heat map."""
TICKS = ((1.0, "1 most"), (0.75, "0.75"), (0.5, "0.5"), (0.25, "0.25"), (0.0, "0 none"))


def with_scale(overlay: bytes) -> bytes:
    """Put a colour bar with its numbers to the right of an overlay (a PNG); 1 is the strongest place of this image."""
    picture = Image.open(io.BytesIO(overlay)).convert("RGB")
    width, height = picture.size
    text = max(9, min(20, height // 24))
    font = ImageFont.load_default(text)
    bar, gap = max(6, text), max(4, text // 2)
    reach = max(int(font.getlength(label)) for _, label in TICKS)
    sheet = Image.new("RGB", (width + gap + bar + gap + reach + gap, height), (PAPER,) * 3)
    sheet.paste(picture, (0, 0))
    margin = text // 2 + 1
    sheet.paste(_bar(bar, max(1, height - 2 * margin)), (width + gap, margin))
    draw = ImageDraw.Draw(sheet)
    for share, label in TICKS:
        line = margin + round((1 - share) * (height - 2 * margin - 1))
        draw.text((width + gap + bar + gap, line), label, fill=INK, font=font, anchor="lm")
    buffer = io.BytesIO()
    sheet.save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()


def _bar(width: int, height: int) -> Image.Image:
    """Draw the colours as an overlay lays them over grey, the strongest on top."""
    heat = np.linspace(1, 0, height)
    colour = np.stack([np.interp(heat, STOPS, COLOURS[:, channel]) for channel in range(3)], axis=-1)
    share = (STRONGEST * heat)[:, np.newaxis]
    mixed = np.rint(GREY * (1 - share) + colour * share).astype(np.uint8)
    return Image.fromarray(mixed[:, np.newaxis].repeat(width, axis=1))
