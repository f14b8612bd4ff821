"""To be removed with its last import: its names are in `gooddrag.lora`."""

from gooddrag.lora import fit_cached, load_lora, save_lora  # noqa: F401
