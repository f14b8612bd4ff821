"""To be removed with its last import: it is `gooddrag.lora.unet_lock`."""

from gooddrag.lora import unet_lock as alone  # noqa: F401
