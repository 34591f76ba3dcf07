"""Why a network answered so: heat maps over the radiograph, and the picture that shows them."""

from imaging.explain.grad_cam import METHODS, grad_cam, heat_maps
from imaging.explain.overlay import overlay_png

__all__ = ["METHODS", "grad_cam", "heat_maps", "overlay_png"]
