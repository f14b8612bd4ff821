"""Methods that take a moment, in a module of their own so that worker processes can import them."""

import errno
import os
import signal
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageChops
from tiny import DRAG, LORA

from gooddrag.evaluation.methods import CopyPaste, Dragging, SdeDrag, Unedited

METHODS = {
    "Unedited": Unedited(),
    "Copy-paste": CopyPaste(4),
    "SDE-Drag": SdeDrag(num_steps=8, radius=2, lora=LORA),
    "GoodDrag": Dragging(DRAG, LORA),
}


@dataclass(frozen=True)
class Brighter:
    """The picture, brighter; it writes its calls to `log`, and at sample `at` does what goes wrong in life, once."""

    log: str
    at: str = ""
    then: str = ""
    once: bool = True

    def __call__(self, model, sample, seed=0):
        calls = Path(self.log).read_text().splitlines() if Path(self.log).exists() else []
        with open(self.log, "a") as file:
            print(sample.name, seed, file=file)
        if sample.name == self.at and not (self.once and f"{sample.name} {seed}" in calls):
            if self.then == "interrupt":
                raise KeyboardInterrupt
            if self.then == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            if self.then == "full disk":
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            raise RuntimeError(f"no {sample.name} today")
        return ImageChops.add(sample.image, Image.new("RGB", sample.image.size, (10 + seed,) * 3))
