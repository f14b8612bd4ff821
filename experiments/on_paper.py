"""Bytes, FLOPs and seconds of an edit on paper: a model without weights, on hardware that is not here."""

import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.functional import linear
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter
from torch.utils.flop_counter import FlopCounterMode

from gooddrag.config import DragConfig, LoraConfig
from gooddrag.masactrl import recorded_states

# Stable Diffusion 1.5, as its config.json files have it: 860 M and 84 M parameters.
SD15_UNET = {"sample_size": 64, "cross_attention_dim": 768, "attention_head_dim": 8}
SD15_VAE = {
    "block_out_channels": (128, 256, 512, 512),
    "layers_per_block": 2,
    "latent_channels": 4,
    "sample_size": 512,
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
}
# Published dense fp16 tensor throughput, TFLOP/s (NVIDIA's data sheets; H100 SXM).
GPUS = {"T4": 65, "L4": 121, "A100": 312, "H100": 989}
ADAPTED = ("to_q", "to_k", "to_v", "to_out.0")  # layers of every attention that a LoRA changes


@dataclass(frozen=True)
class Pass:
    """What one piece of work needs.

    Attributes:
        peak_bytes: most bytes of tensors alive at once, beside those that were there before; a kernel's own workspace
            is not seen.
        flops: of matrix products, convolutions and attention; two for a multiplication and its addition.
    """

    peak_bytes: int
    flops: int


class LiveBytes(TorchDispatchMode):
    """Bytes of all storages that were allocated in this context and are still referenced, and their `peak`."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._seen: dict[int, weakref.ref] = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        before = {id(t.untyped_storage()) for t in tree_iter((args, kwargs)) if isinstance(t, Tensor)}
        out = func(*args, **(kwargs or {}))
        for t in tree_iter(out):
            if isinstance(t, Tensor) and id(t.untyped_storage()) not in before:
                self._add(t.untyped_storage())
        return out

    def _add(self, storage: torch.UntypedStorage) -> None:
        key, size = id(storage), storage.nbytes()
        if key in self._seen and self._seen[key]() is storage:
            return

        def freed(_: weakref.ref) -> None:
            self.now -= size
            self._seen.pop(key, None)

        self._seen[key] = weakref.ref(storage, freed)
        self.now += size
        self.peak = max(self.peak, self.now)


def count_pass(work: Callable[[], object]) -> Pass:
    """Do the work twice, slowly, and count: its FLOPs, then its peak."""
    with FlopCounterMode(display=False) as flops:
        work()
    with LiveBytes() as live:
        work()
    return Pass(live.peak, flops.get_total_flops())


def on_paper(make: Callable[[], Callable[[], object]]) -> Pass:
    """`count_pass` of tensors with a shape and a dtype but no contents: any model, on any machine, in seconds.

    Args:
        make: builds everything and returns the work; called where tensors are on paper only.
    """
    with FakeTensorMode():
        return count_pass(make())


@dataclass(frozen=True)
class Needs:
    """What one model asks for at one size and precision, in bytes, and passes of one latent.

    Attributes:
        unet, vae: weights. attention: those that a LoRA changes, whose originals are kept while it is merged in.
        adapters: a LoRA's own weights with AdamW's two moments, float32.
        features: of one level; states: what Latent-MasaCtrl borrows at one level.
        forward, update, lora, decode: passes; `lora` is a whole batch.
    """

    unet: int
    vae: int
    attention: int
    adapters: int
    features: int
    states: int
    forward: Pass
    update: Pass
    lora: Pass
    decode: Pass

    @classmethod
    def read(cls, data: dict) -> "Needs":
        """From what `dataclasses.asdict` gives."""
        return cls(**{k: Pass(**v) if isinstance(v, dict) else v for k, v in data.items()})


def needs(
    unet: dict = SD15_UNET,
    vae: dict = SD15_VAE,
    *,
    size: int = 64,
    tokens: int = 77,
    dtype: torch.dtype = torch.float16,
    low: bool = False,
    lora: LoraConfig = LoraConfig(),  # noqa: B008 (frozen)
) -> Needs:
    """Build a model on paper and count what its passes hold; about a minute for Stable Diffusion.

    Args:
        unet, vae: configurations.
        size: side of the latent. tokens: of the prompt.
        low: with gradient checkpointing.
    """
    bytes_of: dict[str, int] = {}

    def net_and_inputs() -> tuple[nn.Module, Tensor, Tensor]:
        net = _build(UNet2DConditionModel, unet, dtype)
        if low:
            net.enable_gradient_checkpointing()
        bytes_of["unet"] = _nbytes(net.parameters())
        z = torch.zeros(1, net.config.in_channels, size, size, dtype=dtype)
        return net, z, torch.zeros(1, tokens, net.config.cross_attention_dim, dtype=dtype)

    def forward():
        net, z, prompt = net_and_inputs()
        return torch.no_grad()(lambda: net(z, 741, encoder_hidden_states=prompt))

    def states():
        net, z, prompt = net_and_inputs()

        def work() -> None:
            with torch.no_grad(), recorded_states(net) as seen:
                net(z, 741, encoder_hidden_states=prompt)
            bytes_of["states"] = _nbytes(seen)

        return work

    def update():
        net, z, prompt = net_and_inputs()
        features: list[Tensor] = []
        net.up_blocks[-2].register_forward_hook(lambda module, args, out: features.append(out))

        def work() -> None:
            features.clear()
            x = z.clone().requires_grad_()
            eps = net(x, 741, encoder_hidden_states=prompt).sample
            bytes_of["features"] = _nbytes(features)
            (eps.float().sum() + features.pop().float().mean()).backward()

        return work

    def fitting():
        net, z, prompt = net_and_inputs()
        adapted = [layer for name, layer in net.named_modules() if name.endswith(ADAPTED)]
        own = [weight for layer in adapted for weight in _adapter(layer, lora.rank)]
        bytes_of["adapters"], bytes_of["attention"] = 3 * _nbytes(own), _nbytes(layer.weight for layer in adapted)
        batch, words = z.expand(lora.batch_size, -1, -1, -1), prompt.expand(lora.batch_size, -1, -1)

        def work() -> None:
            with torch.autocast("cpu", dtype=dtype, enabled=dtype in (torch.float16, torch.bfloat16)):
                loss = net(batch, 741, encoder_hidden_states=words).sample.float().square().mean()
            loss.backward()
            for weight in own:
                weight.grad = None

        return work

    def decode():
        net = _build(AutoencoderKL, vae, dtype)
        bytes_of["vae"] = _nbytes(net.parameters())
        z = torch.zeros(1, net.config.latent_channels, size, size, dtype=dtype)
        return torch.no_grad()(lambda: net.decode(z))

    passes = {"forward": forward, "update": update, "lora": fitting, "decode": decode, "states": states}
    counted = {name: on_paper(make) for name, make in passes.items()}
    counted.pop("states")
    return Needs(**bytes_of, **counted)


def _adapter(layer: nn.Linear, rank: int) -> tuple[Tensor, Tensor]:
    """B A beside a layer, as peft computes it (which cannot be built on paper): float32 weights, autocast products."""
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


def memory_plan(n: Needs, config: DragConfig | None = None, *, low: bool = False) -> dict[str, int]:
    """Bytes of tensors at the fullest moment of each phase; `low` keeps features, states and VAE off the device.

    What a GPU needs beside tensors (its context, about 0.3 to 0.5 GB, and gaps between blocks) is not in it.
    """
    config = config or DragConfig()
    dragged = len(config.schedule)
    kept = 0 if low else n.features * dragged + n.states * (config.T - dragged) * config.masactrl
    resident = n.unet + (0 if low else n.vae)
    return {
        "LoRA": resident + n.adapters + n.lora.peak_bytes,
        "inversion": resident + n.attention + n.forward.peak_bytes,
        "drag": resident + n.attention + kept + n.features + n.update.peak_bytes,
        "decode": n.unet + n.vae + kept + n.decode.peak_bytes,
    }


def seconds_on(
    gpu: str, calls: dict[str, tuple[int, int, int]], n: Needs, utilisation: float = 0.4
) -> dict[str, float]:
    """Seconds of each phase on a GPU that reaches this share of its published throughput.

    Raises:
        ValueError: a GPU that is not in GPUS.
    """
    if gpu not in GPUS:
        raise ValueError(f"gpu: {gpu!r}; expected one of {', '.join(GPUS)}")
    rate, backward = GPUS[gpu] * 1e12 * utilisation, n.update.flops - n.forward.flops
    return {
        phase: latents * (forwards * n.forward.flops + backwards * backward) / rate
        for phase, (forwards, backwards, latents) in calls.items()
    }
