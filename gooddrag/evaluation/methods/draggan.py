"""DragGAN (Pan et al., SIGGRAPH 2023) with PTI (Roich et al., 2022) on a generator of the storybook's animals."""

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, conv2d, interpolate, leaky_relu

CHANNELS = {4: 192, 8: 192, 16: 192, 32: 128, 64: 64, 128: 24}  # of the layers at each side length


class Modulated(nn.Module):
    """A convolution whose input channels are scaled by a style s = A w + b (Karras et al. 2020, Eq. 1 and 3).

    Scaling the input by s and the output by (sum (s W)^2)^-1/2 is the same as modulating and demodulating W.
    """

    def __init__(self, w_width: int, c_in: int, c_out: int, kernel: int = 3, demodulate: bool = True):
        super().__init__()
        self.style = nn.Linear(w_width, c_in)
        nn.init.ones_(self.style.bias)
        self.weight = nn.Parameter(torch.randn(c_out, c_in, kernel, kernel) / (c_in * kernel**2) ** 0.5)
        self.bias = nn.Parameter(torch.zeros(c_out))
        self.demodulate = demodulate

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """x (B, c_in, h, w), w (B, w_width) -> (B, c_out, h, w)."""
        s = self.style(w)
        y = conv2d(x * s[:, :, None, None], self.weight, padding="same")
        bias = self.bias[:, None, None].to(y.dtype)
        if not self.demodulate:
            return y + bias
        power = s.float().square() @ self.weight.float().square().sum((2, 3)).mT  # (B, c_out)
        return torch.addcmul(bias, y, (power + 1e-8).rsqrt()[:, :, None, None].to(y.dtype))


def doubled(x: Tensor) -> Tensor:
    """Twice the side; bilinear, which is StyleGAN2's filter [1, 3, 3, 1]."""
    return interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


class Generator(nn.Module):
    """A StyleGAN2-shaped network without noise inputs: numbers -> w -> picture of 128 x 128.

    Args:
        numbers: how many numbers describe a page. w_width: length of a style vector w. hidden: of the mapping.

    Attributes:
        layers: styled convolutions, one at 4 px and two at each of 8 to 128 px: w+ holds a w for each of the 11.
    """

    def __init__(self, numbers: int, w_width: int = 128, hidden: int = 256):
        super().__init__()
        widths = [numbers, hidden, hidden, hidden]
        steps = [m for a, b in zip(widths, widths[1:], strict=False) for m in (nn.Linear(a, b), nn.LeakyReLU(0.2))]
        self.mapping = nn.Sequential(*steps, nn.Linear(hidden, w_width))
        self.start = nn.Parameter(torch.randn(1, CHANNELS[4], 4, 4))
        self.layers, self.to_rgb, c_in = nn.ModuleList(), nn.ModuleList(), CHANNELS[4]
        for side, c_out in CHANNELS.items():
            for _ in range(1 if side == 4 else 2):
                self.layers.append(Modulated(w_width, c_in, c_out))
                c_in = c_out
            self.to_rgb.append(Modulated(w_width, c_out, 3, kernel=1, demodulate=False))

    def synthesis(self, w_plus: Tensor, side: int = 128) -> tuple[Tensor, Tensor]:
        """w+ (B, 11, w_width) -> pictures (B, 3, side, side), about [-1, 1], and features (B, 128, 32, 32).

        A smaller side, 32 or 64, leaves the last layers out.
        """
        x = self.start.expand(len(w_plus), -1, -1, -1).contiguous(memory_format=torch.channels_last)
        picture, features = None, None
        for i, layer in enumerate(self.layers):
            x = layer(x, w_plus[:, i])
            if i % 2:
                x = doubled(x)
            x = leaky_relu(x, 0.2)
            if i % 2 == 0:
                rgb = self.to_rgb[i // 2](x, w_plus[:, i])
                picture = rgb if picture is None else doubled(picture) + rgb
            if i == 6:
                features = x
            if i % 2 == 0 and x.shape[-1] == side:
                return picture, features

    def forward(self, numbers: Tensor, side: int = 128) -> Tensor:
        """Numbers (B, n) -> pictures (B, 3, side, side)."""
        return self.synthesis(self.mapping(numbers)[:, None].expand(-1, len(self.layers), -1), side)[0]


def encoder_maps(encoder: nn.Module, x: Tensor) -> list[Tensor]:
    """What an AutoencoderTiny's encoder sees of (B, 3, H, W) in [-1, 1]: its maps at each side length."""
    maps, x = [], x.add(1).div(2)
    for layer in encoder.layers:
        x = layer(x)
        if isinstance(layer, nn.Conv2d):
            maps.append(x)
    return maps


def pyramid(x: Tensor, y: Tensor, levels: int = 4) -> Tensor:
    """L1 distance of two pictures, summed over their sizes, halves, quarters, ...; 0-d."""
    total = x.new_zeros(())
    for level in range(levels):
        if level:
            x, y = avg_pool2d(x, 2), avg_pool2d(y, 2)
        total = total + (x - y).abs().mean()
    return total
