"""The finished package of the evaluation tests, made once more for this folder."""

from tests.imaging.evaluation.conftest import finished, good, package

__all__ = ["finished", "good", "package"]
