"""One line a stage, with its time: what a reader of the terminal follows."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from rich.status import Status

from thorax.console import talk


@dataclass
class Chapter:
    """One stage: its title, what came of it, and how long it took."""

    title: str
    outcome: str = ""
    seconds: float = 0.0
    details: list[str] = field(default_factory=list)


class Telling:
    """Keeps the chapters in order and prints each as it ends."""

    def __init__(self) -> None:
        self.chapters: list[Chapter] = []
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds since the telling began."""
        return time.monotonic() - self._began

    @contextlib.contextmanager
    def chapter(self, title: str) -> Iterator[Chapter]:
        """Time a stage; print it when it ends, also when it ends badly."""
        chapter = Chapter(title)
        began = time.monotonic()
        number = len(self.chapters) + 1
        mark = "[red]✗[/red]"
        try:
            with Status(f"{number:2d} {title} …", console=talk) as chapter_status:
                self.status = chapter_status
                yield chapter
            mark = "[green]✓[/green]"
        finally:
            chapter.seconds = time.monotonic() - began
            self.chapters.append(chapter)
            talk.print(f"{mark} {number:2d}  {title:<11} {chapter.seconds:6.1f} s  {chapter.outcome}", soft_wrap=True)
            for line in chapter.details:
                talk.print(f"        {line}", soft_wrap=True, style="dim")

    def note(self, text: str) -> None:
        """Show what the running stage is at."""
        if hasattr(self, "status"):
            self.status.update(text)
