"""Pick drags and a mask on an image, inside a notebook: pure state, gestures on it, a canvas, and the widget."""

from gooddrag.picker.widget import PointPicker

__all__ = ["PointPicker"]
