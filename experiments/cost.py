"""What an edit costs: U-Net passes by formula and counted, bytes and FLOPs on paper, seconds measured."""

import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.functional import linear
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter
from torch.utils.benchmark import Timer
from torch.utils.flop_counter import FlopCounterMode

from gooddrag.config import DragConfig, LoraConfig
from gooddrag.evaluation.jobs import metered
from gooddrag.lora import TARGETS
from gooddrag.masactrl import recorded_states
from gooddrag.model import DiffusionModel

SD15_UNET = {"sample_size": 64, "cross_attention_dim": 768}  # 860 M parameters
SD15_VAE = {"block_out_channels": [128, 256, 512, 512], "layers_per_block": 2}  # 84 M
SD15_VAE |= {"down_block_types": ["DownEncoderBlock2D"] * 4, "up_block_types": ["UpDecoderBlock2D"] * 4}


def edit_calls(config: DragConfig | None = None, lora: LoraConfig | None = None) -> dict[str, tuple[int, int, int]]:
    """U-Net passes of Algorithm 1 without an early stop: {phase: (forwards, backwards, latents in each)}. Switches that
    change them (tracking, MasaCtrl, the reference) are as released."""
    config, lora = config or DragConfig(), lora or LoraConfig()
    updates = config.K * config.J
    return {
        "LoRA": (lora.steps, lora.steps, lora.batch_size),
        "inversion": (config.T, 0, 1),
        "reference": (config.T, 0, 1),
        "drag": (updates, updates, 1),
        "denoise": (config.T, 0, 1),
    }


@contextmanager
def counting(unet: nn.Module) -> Iterator[SimpleNamespace]:
    """Count the passes that are made in this context, `forwards` and `backwards` as {latents in a pass: such passes}. A
    backward pass counts once, wherever the gradient comes in."""
    counts = SimpleNamespace(forwards=Counter(), backwards=Counter())

    def passed(module: nn.Module, args: tuple, kwargs: dict, output: tuple) -> None:
        z, eps = args[0] if args else kwargs["sample"], output[0]
        batch, pending = len(z), [True]
        counts.forwards[batch] += 1

        def back(grad: Tensor) -> None:
            if pending:
                counts.backwards[batch] += 1
                pending.clear()

        for tensor in (z, eps):
            if tensor.requires_grad:
                tensor.register_hook(back)

    with unet.register_forward_hook(passed, with_kwargs=True):
        yield counts


class LiveBytes(TorchDispatchMode):
    """Bytes of all storages that were allocated in this context and are still referenced, and their `peak`."""

    def __init__(self) -> None:
        super().__init__()
        self.peak, self._sizes = 0, {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        known = {id(t.untyped_storage()) for t in tree_iter((args, kwargs)) if isinstance(t, Tensor)}
        out = func(*args, **(kwargs or {}))
        for storage in (t.untyped_storage() for t in tree_iter(out) if isinstance(t, Tensor)):
            if (key := id(storage)) not in known and key not in self._sizes:
                self._sizes[key] = storage.nbytes()
                weakref.finalize(storage, self._sizes.pop, key)
                self.peak = max(self.peak, sum(self._sizes.values()))
        return out


def count_work(work: Callable[[], object]) -> tuple[int, int]:
    """Do the work twice, slowly, and count: (FLOPs, two for a multiplication and its addition; peak bytes of tensors
    beside those that were there before, without a kernel's own workspace)."""
    with FlopCounterMode(display=False) as flops:
        work()
    with LiveBytes() as live:
        work()
    return flops.get_total_flops(), live.peak


def needs(
    unet: dict = SD15_UNET,
    vae: dict = SD15_VAE,
    dtype: torch.dtype = torch.float16,
    *,
    size: int = 64,
    tokens: int = 77,
    low: bool = False,
) -> dict[str, dict[str, int]]:
    """Build a model on paper (shapes and dtypes without contents) and count what its passes hold; half a minute for
    Stable Diffusion.

    Args:
        unet, vae: configurations. size: side of the latent. tokens: of the prompt. low: with gradient checkpointing.

    Returns:
        "flops" and "peak" bytes of the passes forward, update, lora (a whole batch) and decode; "bytes" of unet, vae,
        the attention layers that a LoRA changes, its adapters with AdamW's moments, one level's features and states.
    """
    held, lora = {}, LoraConfig()
    with FakeTensorMode():
        net = _build(UNet2DConditionModel, unet, dtype)
        if low:
            net.enable_gradient_checkpointing()
        z = torch.zeros(1, net.config.in_channels, size, size, dtype=dtype)
        prompt = torch.zeros(1, tokens, net.config.cross_attention_dim, dtype=dtype)
        features: list[Tensor] = []
        hook = net.up_blocks[-2].register_forward_hook(lambda module, args, out: features.append(out))

        @torch.no_grad()
        def forward() -> None:
            net(z, 741, encoder_hidden_states=prompt)

        def update() -> None:
            features.clear()
            eps = net(z.clone().requires_grad_(), 741, encoder_hidden_states=prompt).sample
            held["features"] = _nbytes(features)
            (eps.float().sum() + features.pop().float().mean()).backward()

        passes = {"forward": count_work(forward), "update": count_work(update)}
        with recorded_states(net) as states:
            forward()
            held |= {"unet": _nbytes(net.parameters()), "states": _nbytes(states)}
        hook.remove()
        features.clear()
        adapted = [layer for name, layer in net.named_modules() if name.endswith(tuple(TARGETS))]
        own = [weight for layer in adapted for weight in _adapter(layer, lora.rank)]
        held |= {"adapters": 3 * _nbytes(own), "attention": _nbytes(layer.weight for layer in adapted)}
        batch, words = z.expand(lora.batch_size, -1, -1, -1), prompt.expand(lora.batch_size, -1, -1)

        def fitting() -> None:
            with torch.autocast("cpu", dtype=dtype, enabled=dtype in (torch.float16, torch.bfloat16)):
                net(batch, 741, encoder_hidden_states=words).sample.float().square().mean().backward()
            for weight in own:
                weight.grad = None

        passes["lora"] = count_work(fitting)
        decoder = _build(AutoencoderKL, vae, dtype)
        held["vae"] = _nbytes(decoder.parameters())
        passes["decode"] = count_work(torch.no_grad()(lambda: decoder.decode(z)))
    flops, peak = ({name: counted[i] for name, counted in passes.items()} for i in (0, 1))
    return {"flops": flops, "peak": peak, "bytes": held}


def _adapter(layer: nn.Linear, rank: int) -> tuple[Tensor, Tensor]:
    """B A beside a layer, as peft computes it: float32 weights, autocast products."""
    a = torch.zeros(rank, layer.in_features, requires_grad=True)
    b = torch.zeros(layer.out_features, rank, requires_grad=True)
    layer.register_forward_hook(lambda module, args, out: out + linear(linear(args[0].to(a.dtype), a), b) * 1.0)
    return a, b


def _build(cls: type, config: dict, dtype: torch.dtype) -> nn.Module:
    """A model in this precision from the start: on paper there is no way to convert one."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        return cls.from_config(dict(config)).requires_grad_(False).eval()
    finally:
        torch.set_default_dtype(before)


def _nbytes(tensors: Iterable[Tensor]) -> int:
    return sum(t.numel() * t.element_size() for t in tensors)


def memory_plan(n: dict, config: DragConfig | None = None, *, low: bool = False) -> dict[str, int]:
    """Bytes of tensors at the fullest moment of each act, from `needs`; `low` keeps features and states off the device.

    What a GPU needs beside tensors (its context, about 0.3 to 0.5 GB, and gaps between blocks) is not in it.
    """
    config, held, peak = config or DragConfig(), n["bytes"], n["peak"]
    dragged = len(config.schedule)
    kept = 0 if low else held["features"] * dragged + held["states"] * (config.T - dragged) * config.masactrl
    weights = held["unet"] + held["vae"]
    return {
        "LoRA": weights + held["adapters"] + peak["lora"],
        "inversion": weights + held["attention"] + peak["forward"],
        "drag": weights + held["attention"] + kept + held["features"] + peak["update"],
        "decode": weights + kept + peak["decode"],
    }


def measured(model: DiffusionModel, acts: dict[str, Callable[[], object]]) -> dict[str, dict]:
    """Do the acts one by one: {act: {"seconds", "peak_bytes" that the GPU's allocator held in it}}; None on a CPU."""
    found, gpu = {}, model.device.type == "cuda"
    for name, work in acts.items():
        if gpu:
            torch.cuda.reset_peak_memory_stats(model.device)
        with metered(model) as spent:
            work()
        peak = torch.cuda.max_memory_allocated(model.device) if gpu else None
        found[name] = {"seconds": spent["seconds"], "peak_bytes": peak}
    return found


def bare_seconds(model: DiffusionModel, z: Tensor, repeats: int = 5) -> list[float]:
    """Means of the frozen U-Net alone: a forward pass, and one with the backward pass to the latent."""
    z = z.detach().to(model.dtype)

    def forward() -> None:
        with torch.no_grad():
            model.unet(z, 741, encoder_hidden_states=model.prompt)

    def both() -> None:
        model.unet(z.clone().requires_grad_(), 741, encoder_hidden_states=model.prompt).sample.sum().backward()

    threads = torch.get_num_threads()  # a Timer has one of its own accord; it warms up and waits for a GPU
    timers = [Timer("work()", globals={"work": work}, num_threads=threads) for work in (forward, both)]
    return [timer.timeit(repeats).mean for timer in timers]
