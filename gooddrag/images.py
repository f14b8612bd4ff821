"""The old home of what is in `gooddrag.files` now; for code that is still to move."""

from gooddrag.files import ImageSource, load_image, size_text  # noqa: F401
from gooddrag.sample import picture_file  # noqa: F401
