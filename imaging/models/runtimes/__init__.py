"""Ways to run a network's pass: torch itself, or an exported file in another runtime; one interface."""

from imaging.models.runtimes.eager import Eager
from imaging.models.runtimes.interface import Passed, Runtime

__all__ = ["Eager", "Passed", "Runtime"]
