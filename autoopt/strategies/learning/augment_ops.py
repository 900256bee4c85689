"""Changes of images, for whole batches: (rows, h, w, 3) of uint8 or of float 0..255 in, the same shape and type out.

Each draws from a generator, wherever that lives, and works on the pixels' device.
"""

import math
from collections.abc import Callable
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn

WHITE = 255.0
MOST_DEGREES = 30.0
MOST_SHEAR = 0.3
MOST_LIGHT = 0.9
MOST_POSTERIZED_BITS = 4
LUMA: Final = (0.299, 0.587, 0.114)


def soft(target: Tensor, classes: int) -> Tensor:
    """Class numbers (rows,) as shares, float32 (rows, classes); what is float already comes back as it is."""
    return target if target.is_floating_point() else nn.functional.one_hot(target, classes).float()


def moved(pixels: Tensor, *, flip: bool, pad_share: float, generator: torch.Generator) -> Tensor:
    """Each image mirrored with probability 1/2 and moved by up to `pad_share` of its sides; the border reflects."""
    rows, height, width, _ = pixels.shape
    down = _whole_moves(rows, height, pad_share, generator, pixels.device)
    right = _whole_moves(rows, width, pad_share, generator, pixels.device)
    mirrored = _uniform((rows,), generator, pixels.device) < (0.5 if flip else 0.0)
    y = reflected(torch.arange(height, device=pixels.device) + down[:, None], height)
    x = reflected(torch.arange(width, device=pixels.device) + right[:, None], width)
    x = torch.where(mirrored[:, None], width - 1 - x, x)
    return _picked(pixels, y[:, :, None], x[:, None, :])


def cut_out(pixels: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """A square of `share` of the shorter side covered by the batch's mean colour; it may reach over the border."""
    rows, height, width, _ = pixels.shape
    side = round(share * min(height, width))
    middle_y = _uniform((rows, 1), generator, pixels.device) * height
    middle_x = _uniform((rows, 1), generator, pixels.device) * width
    if side == 0:
        return pixels
    y = torch.arange(height, device=pixels.device) + 0.5
    x = torch.arange(width, device=pixels.device) + 0.5
    covered = ((y - middle_y).abs() <= side / 2)[:, :, None] & ((x - middle_x).abs() <= side / 2)[:, None, :]
    mean = _as(pixels, pixels.float().mean(dim=(0, 1, 2)))
    return torch.where(covered[..., None], mean, pixels)


def lit(pixels: Tensor, brightness: float, contrast: float, generator: torch.Generator) -> Tensor:
    """Brightness and then contrast of each image times a factor of its own, within 1 - share and 1 + share."""
    shape = (len(pixels), 1, 1, 1)
    bright = 1 + brightness * (2 * _uniform(shape, generator, pixels.device) - 1)
    steep = 1 + contrast * (2 * _uniform(shape, generator, pixels.device) - 1)
    return _as(pixels, _contrasted((pixels.float() * bright).clamp(0, WHITE), steep))


def operated(pixels: Tensor, strength: float, *, drawn: bool, generator: torch.Generator) -> Tensor:
    """One operation for each image, drawn from OPERATIONS and the turns; at `strength`, or `drawn` from 0 to it."""
    rows, device = len(pixels), pixels.device
    kind = (_uniform((rows,), generator, device) * (len(OPERATIONS) + _TURNS)).long()
    share = strength * _uniform((rows,), generator, device) if drawn else torch.full((rows,), strength, device=device)
    sign = torch.where(_uniform((rows,), generator, device) < 0.5, -1.0, 1.0)
    amount = share * sign
    number = kind - len(OPERATIONS)
    turned = _turned(pixels, *(torch.where(number == which, amount, 0.0) for which in range(_TURNS)))
    changed = torch.where((number >= 0)[:, None, None, None], turned, pixels)
    for which, operation in enumerate(OPERATIONS):
        chosen = (kind == which).nonzero()[:, 0]
        if len(chosen):
            of_chosen = operation(changed[chosen].float(), amount[chosen][:, None, None, None])
            changed[chosen] = _as(pixels, of_chosen)
    return changed


def mixup(pixels: Tensor, target: Tensor, alpha: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Each row blended with another by one weight from Beta(alpha, alpha): pixels and float targets alike."""
    weight, partner = _weight(alpha, generator), _partners(len(pixels), generator, pixels.device)
    blended = weight * pixels.float() + (1 - weight) * pixels[partner].float()
    return _as(pixels, blended), weight * target + (1 - weight) * target[partner]


def cutmix(pixels: Tensor, target: Tensor, alpha: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """A box pasted from another row, the same place in all; float targets weighted by the area that it really has."""
    weight, partner = _weight(alpha, generator), _partners(len(pixels), generator, pixels.device)
    height, width = pixels.shape[1:3]
    middle = torch.rand((2,), generator=generator, device=generator.device).tolist()
    half = math.sqrt(1 - weight) / 2
    top, bottom = (round(min(max(middle[0] + move, 0.0), 1.0) * height) for move in (-half, half))
    left, right = (round(min(max(middle[1] + move, 0.0), 1.0) * width) for move in (-half, half))
    pasted = pixels.clone()
    pasted[:, top:bottom, left:right] = pixels[partner, top:bottom, left:right]
    kept = 1 - (bottom - top) * (right - left) / (height * width)
    return pasted, kept * target + (1 - kept) * target[partner]


def reflected(index: Tensor, size: int) -> Tensor:
    """Positions beyond 0..size-1 mirrored at the border pixel, which is not repeated."""
    if size == 1:
        return torch.zeros_like(index)
    period = 2 * (size - 1)
    inside = index.remainder(period)
    return torch.where(inside < size, inside, period - inside)


def _contrasted(pixels: Tensor, factor: Tensor) -> Tensor:
    mean = _grey(pixels).mean(dim=(1, 2, 3), keepdim=True)
    return mean + factor * (pixels - mean)


def _grey(pixels: Tensor) -> Tensor:
    return (pixels * pixels.new_tensor(LUMA)).sum(dim=3, keepdim=True)


def _bright(pixels: Tensor, amount: Tensor) -> Tensor:
    return pixels * (1 + MOST_LIGHT * amount)


def _steep(pixels: Tensor, amount: Tensor) -> Tensor:
    return _contrasted(pixels, 1 + MOST_LIGHT * amount)


def _saturated(pixels: Tensor, amount: Tensor) -> Tensor:
    grey = _grey(pixels)
    return grey + (1 + MOST_LIGHT * amount) * (pixels - grey)


def _sharp(pixels: Tensor, amount: Tensor) -> Tensor:
    """Away from the mean of the neighbours, or towards it."""
    channels = pixels.permute(0, 3, 1, 2)
    smooth = nn.functional.avg_pool2d(nn.functional.pad(channels, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    smooth = smooth.permute(0, 2, 3, 1)
    return smooth + (1 + MOST_LIGHT * amount) * (pixels - smooth)


def _posterized(pixels: Tensor, amount: Tensor) -> Tensor:
    step = 2 ** (MOST_POSTERIZED_BITS * amount.abs()).round()
    return (pixels / step).floor() * step


def _solarized(pixels: Tensor, amount: Tensor) -> Tensor:
    return torch.where(pixels > WHITE * (1 - amount.abs()), WHITE - pixels, pixels)


def _stretched(pixels: Tensor, amount: Tensor) -> Tensor:
    """Each channel over the whole range."""
    low, high = pixels.amin(dim=(1, 2), keepdim=True), pixels.amax(dim=(1, 2), keepdim=True)
    return torch.where(high > low, (pixels - low) * (WHITE / (high - low).clamp(min=1)), pixels)


def _same(pixels: Tensor, amount: Tensor) -> Tensor:
    return pixels


OPERATIONS: Final[tuple[Callable[[Tensor, Tensor], Tensor], ...]] = (
    _same,
    _bright,
    _steep,
    _saturated,
    _sharp,
    _posterized,
    _solarized,
    _stretched,
)
"""float pixels (n, h, w, 3) and amounts (n, 1, 1, 1), -1 to 1 → float pixels, perhaps beyond 0..255."""
_TURNS: Final = 3
"""Rotation and the two shears, which come after OPERATIONS in the draw."""


def _turned(pixels: Tensor, turn: Tensor, shear_x: Tensor, shear_y: Tensor) -> Tensor:
    """Rotated and sheared about the middle, nearest pixels; amounts (rows,), 0 changes nothing; the border reflects."""
    _, height, width, _ = pixels.shape
    angle = turn * math.radians(MOST_DEGREES)
    y = (torch.arange(height, device=pixels.device) - (height - 1) / 2)[None, :, None]
    x = (torch.arange(width, device=pixels.device) - (width - 1) / 2)[None, None, :]
    cos, sin = angle.cos()[:, None, None], angle.sin()[:, None, None]
    from_y = cos * y + (sin + MOST_SHEAR * shear_y[:, None, None]) * x + (height - 1) / 2
    from_x = cos * x + (MOST_SHEAR * shear_x[:, None, None] - sin) * y + (width - 1) / 2
    return _picked(pixels, reflected(from_y.round().long(), height), reflected(from_x.round().long(), width))


def _picked(pixels: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """pixels[r, y[r], x[r]]; `y` and `x` are whole numbers that broadcast to (rows, h, w)."""
    rows, height, width, channels = pixels.shape
    first = torch.arange(rows, device=pixels.device)[:, None, None] * height
    places = ((first + y) * width + x).flatten()
    # One selection of whole pixels: four times as fast as indexing by row, y and x.
    return pixels.reshape(-1, channels).index_select(0, places).view(pixels.shape)


def _whole_moves(rows: int, size: int, share: float, generator: torch.Generator, device: torch.device) -> Tensor:
    most = round(share * size)
    return (_uniform((rows,), generator, device) * (2 * most + 1)).long() - most


def _uniform(shape: tuple[int, ...], generator: torch.Generator, device: torch.device) -> Tensor:
    return torch.rand(shape, generator=generator, device=generator.device).to(device)


def _partners(rows: int, generator: torch.Generator, device: torch.device) -> Tensor:
    return torch.randperm(rows, generator=generator, device=generator.device).to(device)


def _weight(alpha: float, generator: torch.Generator) -> float:
    """From Beta(alpha, alpha), which torch draws only from its own global state."""
    seed = int(torch.randint(2**31, (1,), generator=generator, device=generator.device))
    return float(np.random.default_rng(seed).beta(alpha, alpha))


def _as(pixels: Tensor, values: Tensor) -> Tensor:
    """Float values 0..255 as the type of `pixels`, what lies beyond cut off."""
    limited = values.clamp(0, WHITE)
    return limited if pixels.is_floating_point() else limited.round().to(pixels.dtype)
