"""The report's picture: what served when, and the moments at which people and gates spoke."""

from collections.abc import Callable
from datetime import datetime
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from audit.report import Report

WIDTH, LEFT, RIGHT = 960.0, 70.0, 20.0
BAR_Y, BAR_HEIGHT = 34.0, 30.0
ROWS = (
    ("approved", "model.approved", "#1d7a46", 92.0),
    ("refused", "approval.refused", "#a15c07", 116.0),
    ("rolled back", "release.rolled_back", "#b3261e", 140.0),
    ("drift", "drift.detected", "#5b4bb5", 164.0),
)
HEIGHT = 206.0
COLOURS = ("#0b5cad", "#4b9cd3", "#12406e", "#7fb5dd")
NARROWEST_FOR_A_NAME = 26.0


def draw_timeline(report: "Report") -> str:
    """Return the picture as SVG; every word in it is escaped."""
    span = max((report.end - report.begin).total_seconds(), 1.0)

    def x(moment: datetime) -> float:
        share = (moment - report.begin).total_seconds() / span
        return LEFT + (WIDTH - LEFT - RIGHT) * min(1.0, max(0.0, share))

    parts = [f'<text x="0" y="{BAR_Y + 20}">served</text>']
    colours: dict[str, str] = {}
    for one in report.services:
        colour = colours.setdefault(one.version, COLOURS[len(colours) % len(COLOURS)])
        begin, end = x(one.begin), x(one.end or report.end)
        title = f"version {one.version}, {one.begin:%Y-%m-%d %H:%M}"
        title += f" to {one.end:%Y-%m-%d %H:%M}" if one.end else ", still serving"
        bar = f'x="{begin:.1f}" y="{BAR_Y}" width="{max(1.0, end - begin):.1f}" height="{BAR_HEIGHT}" fill="{colour}"'
        parts.append(f"<rect {bar}><title>{escape(title)}</title></rect>")
        if end - begin >= NARROWEST_FOR_A_NAME:
            place = f'x="{(begin + end) / 2:.1f}" y="{BAR_Y + 20}" text-anchor="middle" fill="#fff"'
            parts.append(f"<text {place}>{escape(one.version)}</text>")
    body = "\n".join([*_axis(report), *parts, *_moments(report, x)])
    style = 'font-family="system-ui, sans-serif" font-size="12" fill="#12263a"'
    return f'<svg viewBox="0 0 {WIDTH:.0f} {HEIGHT:.0f}" role="img" aria-label="What served when" {style}>{body}</svg>'


def _moments(report: "Report", x: Callable[[datetime], float]) -> list[str]:
    times = {
        "model.approved": [(one.time, f"version {one.version} by {one.actor}") for one in report.approvals],
        **{
            action: [
                (datetime.fromisoformat(event.time), f"{event.subject} by {event.actor}")
                for event in (*report.refusals, *report.changes)
                if event.action == action
            ]
            for _, action, _, _ in ROWS[1:]
        },
    }
    parts = []
    for name, action, colour, y in ROWS:
        parts.append(f'<text x="0" y="{y + 4}">{name}</text>')
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}" stroke="#d5e0ea"/>')
        for moment, told in times[action]:
            title = f"{moment:%Y-%m-%d %H:%M:%S} {told}"
            dot = f'<circle cx="{x(moment):.1f}" cy="{y}" r="5" fill="{colour}">'
            parts.append(f"{dot}<title>{escape(title)}</title></circle>")
    return parts


def _axis(report: "Report") -> list[str]:
    parts = []
    for index in range(5):
        moment = report.begin + (report.end - report.begin) * index / 4
        place = LEFT + (WIDTH - LEFT - RIGHT) * index / 4
        anchor = "start" if index == 0 else "end" if index == 4 else "middle"
        text = f"{moment:%Y-%m-%d %H:%M}"
        parts.append(f'<line x1="{place:.1f}" x2="{place:.1f}" y1="24" y2="178" stroke="#d5e0ea"/>')
        parts.append(f'<text x="{place:.1f}" y="198" text-anchor="{anchor}" fill="#51667a">{text}</text>')
    return parts
