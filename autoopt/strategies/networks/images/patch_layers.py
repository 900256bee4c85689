"""The patch network's layers."""

from typing import final

import torch
from torch import Tensor, nn

from autoopt.strategies.networks.images.layers import Head, Residual, convolution
from autoopt.strategies.networks.images.pixels import initialise

MIXED_PATCHES = 5
"""Side of the window in which a convolution mixes patches."""
WIDER = 2
"""Units within a transformer's feed-forward layer, times its width."""
POSITION_DEVIATION = 0.02


@final
class PatchBody(nn.Module):  # type: ignore[misc]  # torch is not followed: its types are Any
    """Images (rows, 3, h, w) → (rows, outputs). What a whole number of patches leaves at the border is not seen."""

    def __init__(
        self,
        *,
        height: int,
        width: int,
        patch: int,
        units: int,
        head_units: int,
        depth: int,
        attention: bool,
        dropout: float,
        outputs: int,
    ) -> None:
        super().__init__()
        self.cut = nn.Conv2d(3, units, patch, stride=patch)
        if attention:
            count = (height // patch) * (width // patch)
            self.mixing: nn.Module = Transformer(count, units, head_units, depth)
        else:
            self.mixing = nn.Sequential(nn.BatchNorm2d(units), nn.ReLU(), *(_mixed(units) for _ in range(depth)))
        self.head = Head(units, outputs, dropout, largest=False)
        initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.mixing(self.cut(images)))


def _mixed(units: int) -> nn.Module:
    """Over places, channel by channel; then over channels, place by place."""
    places = convolution(units, units, kernel=MIXED_PATCHES, groups=units)
    return nn.Sequential(Residual(places), convolution(units, units, kernel=1))


@final
class Transformer(nn.Module):  # type: ignore[misc]
    """Patches (rows, units, h, w) that attend to each other → the same shape."""

    def __init__(self, count: int, units: int, head_units: int, depth: int) -> None:
        super().__init__()
        self.positions = nn.Parameter(torch.randn(1, count, units) * POSITION_DEVIATION)
        self.layers = nn.Sequential(
            *(
                layer
                for _ in range(depth)
                for layer in (
                    Residual(nn.LayerNorm(units), Attention(units, head_units)),
                    Residual(
                        nn.LayerNorm(units),
                        nn.Linear(units, WIDER * units),
                        nn.ReLU(),
                        nn.Linear(WIDER * units, units),
                    ),
                )
            )
        )
        self.norm = nn.LayerNorm(units)

    def forward(self, patches: Tensor) -> Tensor:
        sequence = patches.flatten(2).transpose(1, 2) + self.positions
        mixed: Tensor = self.norm(self.layers(sequence))
        return mixed.transpose(1, 2).unsqueeze(3)


@final
class Attention(nn.Module):  # type: ignore[misc]
    """Self-attention of several heads over (rows, count, units)."""

    def __init__(self, units: int, head_units: int) -> None:
        super().__init__()
        self.heads = units // head_units  # and not their width: pruning makes them narrower
        self.queries_keys_values = nn.Linear(units, 3 * units)
        self.out = nn.Linear(units, units)

    def forward(self, sequence: Tensor) -> Tensor:
        heads = self.queries_keys_values(sequence).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        queries, keys, values = heads.unbind(0)
        attended = nn.functional.scaled_dot_product_attention(queries, keys, values)
        return self.out(attended.transpose(1, 2).flatten(2))
