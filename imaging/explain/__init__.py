"""Why a network answered so, and what it looks for: heat maps over an image, its first filters and feature maps."""

from imaging.explain.filters import FirstLayer, filters_png, first_layer, maps_png
from imaging.explain.grad_cam import METHODS, grad_cam, heat_maps
from imaging.explain.maps import MAP_METHODS, explain_class
from imaging.explain.overlay import overlay_png

__all__ = [
    "MAP_METHODS",
    "METHODS",
    "FirstLayer",
    "explain_class",
    "filters_png",
    "first_layer",
    "grad_cam",
    "heat_maps",
    "maps_png",
    "overlay_png",
]
