"""One sitting of a training: its steps and their rates, its counts, budget, log and checkpoint."""

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from gooddrag.files import atomic_file

WARMUP, SAVE = 100, 240  # steps in which the rate grows; seconds from one checkpoint to the next
MEMORY = 16  # of the average: 1 / 18 of the training so far (Karras et al. 2024)


def load_checkpoint(path: Path, modules: dict[str, nn.Module], optimizers: list = ()) -> dict:
    """Put back what `Sitting.save` wrote (the named modules and optimizers); returns the counts."""
    with safe_open(path, "pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        counts = json.loads(file.metadata()["progress"])
    for name, module in modules.items():
        module.load_state_dict({k.removeprefix(f"{name}/"): t for k, t in tensors.items() if k.startswith(f"{name}/")})
    for which, optimizer in enumerate(optimizers):
        state: dict[int, dict] = {}
        for key, tensor in tensors.items():
            if key.startswith(f"optimizer{which}/"):
                _, index, field = key.split("/")
                state.setdefault(int(index), {})[field] = tensor
        optimizer.load_state_dict(optimizer.state_dict() | {"state": state})
    return counts


class Sitting:
    """Iterate over it for the steps until the budget is spent or SIGTERM comes; it goes on from its checkpoint.

    Args:
        path: of the checkpoint; the log is beside it. counts: those before the first step.
        modules: what is trained, and "ema", the average of its weights, if there is one. optimizers: at these `rates`.
        unit, budget, minutes: what this sitting may add to the count `unit`, and its time; None: without end.
        cooldown: last share of the budget, in which the rates fall to zero.
    """

    def __init__(
        self,
        path: Path,
        modules: dict[str, nn.Module],
        optimizers: dict[torch.optim.Optimizer, float],
        counts: dict,
        *,
        unit: str = "step",
        budget: int | None = None,
        minutes: float | None = None,
        cooldown: float = 0.0,
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path, self.modules, self.rates, self.cooldown = path, modules, optimizers, cooldown
        self.counts = {"step": 0, "seconds": 0.0, "drawn": 0} | counts
        if path.exists():
            self.counts = load_checkpoint(path, modules, list(optimizers))
        self.first = self.logged = self.counts[unit]
        self.unit, self.budget, self.minutes, self.spent = unit, budget, minutes, 0.0
        self.losses: list[Tensor] = []

    def __iter__(self) -> Iterator[None]:
        asked: list[int] = []
        before = signal.signal(signal.SIGTERM, lambda *_: asked.append(1))
        self.begun = self.clock = saved = time.monotonic()
        try:
            while not asked and self.spent < 1:
                yield
                if self.clock - saved > SAVE:
                    saved = self.clock
                    self.save()
        finally:
            signal.signal(signal.SIGTERM, before)
        self.save()

    def save(self) -> None:
        """Replace the checkpoint: the modules' weights, the optimizers' states and the counts (JSON)."""
        tensors = {
            f"{name}/{key}": t for name, module in self.modules.items() for key, t in module.state_dict().items()
        }
        for which, optimizer in enumerate(self.rates):
            for index, state in optimizer.state_dict()["state"].items():
                tensors |= {f"optimizer{which}/{index}/{key}": torch.as_tensor(t) for key, t in state.items()}
        tensors = {key: t.detach().cpu().contiguous() for key, t in tensors.items()}
        with atomic_file(self.path) as file:
            save_file(tensors, file, {"progress": json.dumps(self.counts)})

    def step(self, loss: Tensor, factor: float = 1.0, **more: int) -> None:
        """A step of all optimizers down a loss, with `factor` at their rates; `more` is added to the counts."""
        net, *average = self.modules.values()
        self.rate = min(1.0, (self.counts["step"] + 1) / WARMUP) * factor
        if self.cooldown:
            self.rate *= min(1.0, (1 - self.spent) / self.cooldown)
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        for optimizer, rate in self.rates.items():
            for group in optimizer.param_groups:
                group["lr"] = rate * self.rate
            optimizer.step()
            optimizer.zero_grad()
        self.losses.append(loss.detach())
        for name, added in {"step": 1, **more}.items():
            self.counts[name] += added
        for ema in average:
            kept = (1 - 1 / (self.counts["step"] + 1)) ** (MEMORY + 1)
            with torch.no_grad():  # or every step would be remembered, for a gradient
                torch._foreach_lerp_(list(ema.parameters()), list(net.parameters()), 1 - kept)
        now = time.monotonic()
        self.counts["seconds"], self.clock = self.counts["seconds"] + now - self.clock, now
        used = (self.counts[self.unit] - self.first, self.budget), ((now - self.begun) / 60, self.minutes)
        self.spent = max((part / whole for part, whole in used if whole), default=0.0)

    def due(self, every: int) -> bool:
        """Whether it is time to measure: whenever `every` more were counted, and at the end."""
        return self.counts[self.unit] - self.logged >= every or self.spent >= 1

    def log(self, measures: dict[str, float], **more: float) -> None:
        """Keep held-out measures in the checkpoint, and a line with them in the log."""
        self.logged, loss = self.counts[self.unit], torch.stack(self.losses).mean().item()
        counts = {name: value for name, value in self.counts.items() if name != "held_out"}
        self.counts["held_out"] = measures
        line = {"phase": self.path.stem} | counts | measures | more | {"loss": loss, "rate": self.rate}
        line = {name: round(value, 6) if isinstance(value, float) else value for name, value in line.items()}
        with self.path.with_name("metrics.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")
        self.losses.clear()
