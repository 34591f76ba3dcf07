"""The demo's local page: pictures first, then reports, links and what to try next."""

import base64
from pathlib import Path
from typing import Any

from imaging.atomic import write_text

_TEMPLATE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Thorax: what the demo did</title>
<style>
:root { color-scheme: light; --ink: #12263a; --soft: #51667a; --line: #d5e0ea; --fill: #eef4f9; --good: #1d7a46; --warn: #a15c07; }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); max-width: 980px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin: 0 0 .2rem } h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem } p { margin: .3rem 0 }
.soft { color: var(--soft) } table { border-collapse: collapse; width: 100% } td, th { text-align: left; padding: .35rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top }
td.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
.cards { display: grid; grid-template-columns: repeat(5, 1fr); gap: .7rem } .card { background: var(--fill); border-radius: 8px; padding: .5rem; font-size: .82rem }
.card img { width: 100%; border-radius: 4px; background: #000; display: block; margin-bottom: .4rem } .refer { color: var(--warn) } .report { color: var(--good) }
code { background: var(--fill); padding: .1rem .35rem; border-radius: 4px } a { color: #0b5cad } img.wide { width: 100% }
.note { border-left: 4px solid #d98324; background: #fdf0e3; padding: .6rem .9rem; border-radius: 0 6px 6px 0 }
@media (max-width: 700px) { .cards { grid-template-columns: repeat(2, 1fr) } }
</style></head><body>
<h1>Thorax: what the demo did</h1>
<p class="soft">{{ told }}. The whole loop took {{ "%.0f" | format(seconds) }} s on this machine.</p>
<img class="wide" alt="The loop" src="{{ picture }}">
{% for limit in limits %}<p class="note">{{ limit }}</p>{% endfor %}
<h2>Ten radiographs, answered by the endpoint</h2>
<div class="cards">{% for answer in answers %}<div class="card">
{% if answer.picture %}<img alt="Grad-CAM overlay" src="{{ answer.picture }}">{% endif %}
<b>{{ answer.headline }}</b><br><span class="{{ answer.decision }}">{{ answer.decision }}</span> <span class="soft">{{ answer.reasons }}</span>
</div>{% endfor %}</div>
<p class="soft">Colour shows where the network looked (Grad-CAM), not where disease is. Decision support only; a physician must confirm.</p>
<h2>Discrimination on patients never seen in training</h2>
<table><tr><th>AUROC</th><th>value</th><th>95 % interval</th></tr>
{% for row in auroc %}<tr><td>{{ row.name }}</td><td class="n">{{ "%.3f" | format(row.value) }}</td><td class="n">{{ "%.3f" | format(row.low) }} to {{ "%.3f" | format(row.high) }}</td></tr>{% endfor %}
</table>
<h2>Stages</h2>
<table>{% for chapter in chapters %}<tr><td>{{ loop.index }}</td><td><b>{{ chapter.title }}</b></td><td>{{ chapter.outcome }}</td><td class="n">{{ "%.1f" | format(chapter.seconds) }} s</td></tr>{% endfor %}</table>
<h2>Look closer</h2>
<table>{% for link in links %}<tr><td><a href="{{ link.href }}">{{ link.name }}</a></td><td class="soft">{{ link.what }}</td></tr>{% endfor %}</table>
<h2>Try next</h2>
<table>{% for step in steps %}<tr><td><code>{{ step.command }}</code></td><td class="soft">{{ step.what }}</td></tr>{% endfor %}</table>
</body></html>
"""


def write_page(path: Path, told: dict[str, Any]) -> None:
    """Write the page, with every picture inside it."""
    from jinja2 import Environment

    loop = data_uri((Path(__file__).parent / "loop.svg").read_bytes(), "image/svg+xml")
    template = Environment(autoescape=True).from_string(_TEMPLATE)
    write_text(path, template.render(picture=loop, **told))


def data_uri(content: bytes, media_type: str) -> str:
    """Return `content` as a link that needs no second file."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"
