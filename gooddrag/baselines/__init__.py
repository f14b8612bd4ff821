"""What GoodDrag is held against, behind one protocol: `method(model, sample, seed) -> image`."""

from gooddrag.baselines.bounds import CopyPaste, Unedited, VaeRoundTrip
from gooddrag.baselines.dragging import Dragging
from gooddrag.baselines.method import METHODS, Method

__all__ = ["METHODS", "CopyPaste", "Dragging", "Method", "Unedited", "VaeRoundTrip"]
