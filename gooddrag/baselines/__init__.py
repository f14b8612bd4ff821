"""What GoodDrag is held against, behind one protocol: `method(model, sample, seed) -> image`."""

from gooddrag.baselines.bounds import CopyPaste, Unedited, VaeRoundTrip
from gooddrag.baselines.dragging import Dragging
from gooddrag.baselines.method import METHODS, Method, methods_with
from gooddrag.baselines.sde_drag import SdeDrag

__all__ = ["METHODS", "CopyPaste", "Dragging", "Method", "SdeDrag", "Unedited", "VaeRoundTrip", "methods_with"]
