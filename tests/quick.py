"""Methods that take a moment, in a module of their own so that worker processes can import them."""

import errno
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageChops

from gooddrag.baselines import CopyPaste, Dragging, SdeDrag, Unedited
from gooddrag.config import DragConfig, LoraConfig

LORA = LoraConfig(rank=2, steps=2, batch_size=1)
DRAG = DragConfig(num_steps=4, K=2, B=1, J=1, stop_unmoved=None)
METHODS = {
    "Unedited": Unedited(),
    "Copy-paste": CopyPaste(4),
    "GoodDrag": Dragging(DRAG, LORA),
    "GoodDrag without IP": Dragging(DragConfig(num_steps=4, K=2, B=1, J=1, stop_unmoved=None, ip=False), LORA),
    "SDE-Drag": SdeDrag(num_steps=8, radius=2, lora=LORA),
}


@dataclass(frozen=True)
class Brighter:
    """The picture, brighter; it counts its calls in `log` and may do what goes wrong in life at sample `at`."""

    amount: int = 10
    log: str = ""
    at: str = ""
    then: str = ""
    once: bool = True
    seconds: float = 0.0

    def __call__(self, model, sample, seed=0):
        calls = Path(self.log).read_text().splitlines() if self.log and Path(self.log).exists() else []
        if self.log:
            with open(self.log, "a") as file:
                print(sample.name, seed, file=file)
        time.sleep(self.seconds)
        if sample.name == self.at and not (self.once and f"{sample.name} {seed}" in calls):
            if self.then == "interrupt":
                raise KeyboardInterrupt
            if self.then == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            if self.then == "full disk":
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            raise RuntimeError(f"no {sample.name} today")
        return ImageChops.add(sample.image, Image.new("RGB", sample.image.size, (self.amount + seed,) * 3))


@dataclass(frozen=True)
class Waiting:
    """The picture, once the file `sign` is there."""

    sign: str
    patience: float = 60.0

    def __call__(self, model, sample, seed=0):
        end = time.monotonic() + self.patience
        while not Path(self.sign).exists():
            if time.monotonic() > end:
                raise TimeoutError(f"no {self.sign}")
            time.sleep(0.05)
        return sample.image
