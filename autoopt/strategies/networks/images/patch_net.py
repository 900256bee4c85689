"""A network over patches of an image: a small vision transformer, or a ConvMixer."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, final

from autoopt.strategies.base import choice, whole
from autoopt.strategies.networks.images.image_network import ImageNetwork

if TYPE_CHECKING:  # the catalogue is read by processes that never train: they do without torch
    from torch import nn

PATCHES_A_SIDE = 8
UNITS_A_HEAD = 32


@final
@dataclass(frozen=True, kw_only=True)
class PatchNet(ImageNetwork):
    """Patches of the image as vectors, mixed by attention or by convolutions.

    * convolution: depthwise convolutions of 5x5 patches with skips, between 1x1 ones (Trockman & Kolter 2022,
      "Patches Are All You Need?"); learns from few images.
    * attention: a pre-norm transformer with learned positions, its outputs averaged (Dosovitskiy et al. 2021,
      "An Image is Worth 16x16 Words"); wants many images or strong augmentation, and adamw.

    The side of the patches sets the cost: half of it means four times the work. Quantization gains less here than on
    plain convolutions.

    width 32 to 512 units, rounded to a multiple of 32; depth 1 to 12 layers; patch 2 to 16 pixels, 0 chooses the one
    that gives about 8 patches a side; dropout 0 to 0.7.
    """

    name: ClassVar[str] = "patch_net"

    mixer: str = choice("convolution", "attention", help="how patches learn of each other")
    width: int = whole(128, low=32, high=512, log=True, help="units of each patch, rounded to a multiple of 32")
    depth: int = whole(4, low=1, high=12, help="layers")
    patch: int = choice(0, 2, 4, 8, 16, help="side of a patch in pixels; 0 chooses by the image's size")

    def attention_heads(self) -> Mapping[str, int]:
        if self.mixer != "attention":
            return {}
        heads = max(round(self.width / UNITS_A_HEAD), 1)
        return {f"1.mixing.layers.{2 * layer}.inner.1.queries_keys_values": heads for layer in range(self.depth)}

    def body(self, height: int, width: int, outputs: int) -> "nn.Module":
        from autoopt.strategies.networks.images.patch_layers import PatchBody

        side = min(height, width)
        return PatchBody(
            height=height,
            width=width,
            patch=min(self.patch or max(side // PATCHES_A_SIDE, 1), side),
            units=UNITS_A_HEAD * max(round(self.width / UNITS_A_HEAD), 1),
            head_units=UNITS_A_HEAD,
            depth=self.depth,
            attention=self.mixer == "attention",
            dropout=self.dropout,
            outputs=outputs,
        )
