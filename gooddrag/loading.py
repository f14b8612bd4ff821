"""To be removed with its last import: its names are in `gooddrag.model`."""

from gooddrag.model import SD15, SD_DDIM, STORYBOOK, choose_model, load_model  # noqa: F401
