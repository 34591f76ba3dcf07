"""Ways to run a network's pass: torch itself, or an exported file in another runtime; one interface."""

from imaging.models.runtimes.base import Passed, Runtime
from imaging.models.runtimes.eager import Eager

__all__ = ["Eager", "Passed", "Runtime"]
