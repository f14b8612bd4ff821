"""Pick, mask, drag, look, drag again: one widget for a whole edit, over runs in a thread."""

from gooddrag.studio.widget import DragStudio

__all__ = ["DragStudio"]
