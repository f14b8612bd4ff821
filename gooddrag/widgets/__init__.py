"""Widgets for notebooks: pick points and a mask, drag, compare, play a run back, look into the features."""

from gooddrag.widgets.explorers import compare, play, probe
from gooddrag.widgets.picker import PointPicker
from gooddrag.widgets.studio import DragStudio

__all__ = ["DragStudio", "PointPicker", "compare", "play", "probe"]
