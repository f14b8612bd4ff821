"""Time and memory of an edit on hardware that is not here: from calls, tensor sizes and published throughput."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor, nn
from torch.nn.functional import linear

from experiments.cost.tensors import Pass, on_paper
from gooddrag.config import DragConfig, LoraConfig
from gooddrag.lora import TARGETS
from gooddrag.masactrl import recorded_states

# Stable Diffusion 1.5, as its config.json files have it: 860 M and 84 M parameters.
SD15_UNET = dict(sample_size=64, cross_attention_dim=768, attention_head_dim=8)
SD15_VAE = dict(block_out_channels=(128, 256, 512, 512), layers_per_block=2, latent_channels=4, sample_size=512,
                down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4)  # fmt: skip

# Published dense fp16 tensor throughput, TFLOP/s, and memory, GB (NVIDIA's data sheets; A100 40 GB, H100 SXM).
GPUS = {"T4": (65, 16), "L4": (121, 24), "A100": (312, 40), "H100": (989, 80)}


@dataclass(frozen=True)
class Needs:
    """What one model asks for at one size and precision; bytes, and FLOPs of passes of one latent.

    Attributes:
        unet, vae: weights. attention: those that a LoRA changes, whose originals are kept while it is merged in.
        adapters: a LoRA's own weights with AdamW's two moments, float32.
        forward, update, lora, decode: passes; `lora` is a whole batch.
        features: of one level; states: what Latent-MasaCtrl borrows at one level.
    """

    unet: int
    vae: int
    attention: int
    adapters: int
    forward: Pass
    update: Pass
    lora: Pass
    decode: Pass
    features: int
    states: int

    @classmethod
    def read(cls, data: dict) -> Needs:
        """From plain data, as `dataclasses.asdict` gives."""
        return cls(**{k: Pass(**v) if isinstance(v, dict) else v for k, v in data.items()})


def needs(unet: dict | None = None, vae: dict | None = None, size: int = 64, tokens: int = 77,
          dtype: torch.dtype = torch.float16, low: bool = False, lora: LoraConfig | None = None) -> Needs:  # fmt: skip
    """Build a model on paper and count what its passes hold; about a minute for Stable Diffusion.

    Args:
        unet, vae: configurations; Stable Diffusion 1.5's by default.
        size: side of the latent.
        low: with gradient checkpointing.
    """
    unet, vae, lora = unet or SD15_UNET, vae or SD15_VAE, lora or LoraConfig()
    sizes: dict[str, int] = {}

    def with_unet(work: Callable) -> Callable:
        def make():
            net = _built(UNet2DConditionModel, unet, dtype)
            if low:
                net.enable_gradient_checkpointing()
            sizes["unet"] = _bytes(net)
            prompt = torch.zeros(1, tokens, net.config.cross_attention_dim, dtype=dtype)
            return work(net, torch.zeros(1, net.config.in_channels, size, size, dtype=dtype), prompt)

        return make

    def forward(net, z, prompt):
        def work():
            with torch.no_grad():
                net(z, 741, encoder_hidden_states=prompt)

        return work, tuple(net.parameters())

    def update(net, z, prompt):
        features: list[Tensor] = []
        net.up_blocks[-2].register_forward_hook(lambda m, a, out: features.append(out))

        def work():
            features.clear()
            x = z.clone().requires_grad_()
            eps = net(x, 741, encoder_hidden_states=prompt).sample
            sizes["features"] = features[-1].numel() * features[-1].element_size()
            (eps.float().sum() + features.pop().float().mean()).backward()

        return work, tuple(net.parameters())

    def states(net, z, prompt):
        def work():
            with torch.no_grad(), recorded_states(net) as seen:
                net(z, 741, encoder_hidden_states=prompt)
            sizes["states"] = sum(s.numel() * s.element_size() for s in seen)

        return work, tuple(net.parameters())

    def fit(net, z, prompt):
        adapted = [m for name, m in net.named_modules() if name.endswith(tuple(TARGETS))]
        own = [w for m in adapted for w in _adapter(m, lora.rank)]
        sizes["adapters"] = 3 * sum(p.numel() for p in own) * 4
        sizes["attention"] = sum(m.weight.numel() * m.weight.element_size() for m in adapted)
        batch, words = z.float().expand(lora.batch_size, -1, -1, -1), prompt.expand(lora.batch_size, -1, -1)

        def work():
            with torch.autocast("cpu", dtype=dtype, enabled=dtype in (torch.float16, torch.bfloat16)):
                loss = net(batch.to(dtype), 741, encoder_hidden_states=words).sample.float().square().mean()
            loss.backward()
            for p in own:
                p.grad = None

        return work, tuple(net.parameters())

    def decode():
        net = _built(AutoencoderKL, vae, dtype)
        sizes["vae"] = _bytes(net)
        z = torch.zeros(1, net.config.latent_channels, size, size, dtype=dtype)

        def work():
            with torch.no_grad():
                net.decode(z)

        return work, tuple(net.parameters())

    passes = {"forward": on_paper(with_unet(forward)), "update": on_paper(with_unet(update)),
              "lora": on_paper(with_unet(fit)), "decode": on_paper(decode)}  # fmt: skip
    on_paper(with_unet(states))
    return Needs(**sizes, **passes)


def memory_plan(n: Needs, config: DragConfig | None = None, low: bool = False) -> dict[str, int]:
    """Bytes of tensors at the fullest moment of each phase; `low` keeps features, states and VAE elsewhere.

    What a GPU needs beside tensors (its context, about 0.3 to 0.5 GB, and gaps between blocks) is not in it.
    """
    config = config or DragConfig()
    dragged = len(config.schedule)
    kept = 0 if low else n.features * dragged + n.states * (config.T - dragged) * config.masactrl
    resident = n.unet + (0 if low else n.vae)
    dragging = resident + n.attention + kept + n.features + n.update.peak_bytes
    return {
        "LoRA": resident + n.adapters + n.lora.peak_bytes,
        "inversion": resident + n.attention + n.forward.peak_bytes,
        "drag": dragging,
        "decode": n.unet + n.vae + kept + n.decode.peak_bytes,
    }


def edit_calls(config: DragConfig | None = None, lora: LoraConfig | None = None) -> dict[str, tuple[int, int, int]]:
    """U-Net passes that Algorithm 1 needs without an early stop: {phase: (forwards, backwards, latents in each)}."""
    config, lora = config or DragConfig(), lora or LoraConfig()
    levels, updates = len(config.schedule), config.K * config.J
    known = levels if config.tracking == "updated" else 0  # the last tracking's pass serves the denoising step too ...
    again = int(config.masactrl and config.masactrl_from == "first" and levels > 0)  # ... unless that step shares
    return {
        "LoRA": (lora.steps, lora.steps, lora.batch_size),
        "inversion": (config.T, 0, 1),
        "reference": (config.T + again if config.masactrl else levels, 0, 1),
        "drag": (updates + known, updates, 1),
        "denoise": (config.T - known + (again if known else 0), 0, 1),
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
    rate = GPUS[gpu][0] * 1e12 * utilisation
    back = n.update.flops - n.forward.flops
    return {phase: latents * (forwards * n.forward.flops + backwards * back) / rate
            for phase, (forwards, backwards, latents) in calls.items()}  # fmt: skip


def _adapter(layer: nn.Linear, rank: int) -> tuple[Tensor, Tensor]:
    """B A beside a layer, as peft computes it (which cannot be built on paper): float32 weights, autocast products."""
    a = torch.zeros(rank, layer.in_features, requires_grad=True)
    b = torch.zeros(layer.out_features, rank, requires_grad=True)
    layer.register_forward_hook(lambda m, args, out: out + linear(linear(args[0].to(a.dtype), a), b) * 1.0)
    return a, b


def _built(cls: type, config: dict, dtype: torch.dtype) -> nn.Module:
    """A model in this precision from the start: on paper there is no way to convert one."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        return cls.from_config(config).requires_grad_(False).eval()
    finally:
        torch.set_default_dtype(before)


def _bytes(net: nn.Module) -> int:
    return sum(p.numel() * p.element_size() for p in net.parameters())
