"""Training images, changed anew in every epoch in ways that leave their meaning."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Final, final

from autoopt.strategies.base import NETWORKS, Stage, Strategy, Topic, choice, real
from autoopt.task.facts import Modality, TaskFacts
from autoopt.values import Slot

if TYPE_CHECKING:  # the catalogue is read by processes that never train: they do without torch
    import torch

    from autoopt.strategies.learning.source import Batch

CHANGES: Final = ("flip_crop", "trivial", "rand")
MIXES: Final = ("mixup", "cutmix")
RAND_OPERATIONS = 2


@final
@dataclass(frozen=True, kw_only=True)
class Augment(Strategy):
    """Augmentation: batched operations on uint8 pixels, on the training device or (`loader.augment_on`) by the readers.

    * none: the images as they are.
    * flip_crop: mirrored by chance, moved by up to `pad_share` of the side (the border reflects), a square of
      `cutout_share` of the side covered by the mean colour (DeVries & Taylor 2017).
    * trivial: that, and one more operation on each image, drawn with its strength: rotation, shear, brightness,
      contrast, saturation, sharpness, posterize, solarize, autocontrast or none (Mueller & Hutter 2021).
    * rand: that, and two such operations, all at `strength` (RandAugment, Cubuk et al. 2020).

    Helps most with few images and long trainings; strong forms want more epochs. Turn `flip` off where left and right
    matter (digits, letters). pad_share 0 to 0.5 and cutout_share 0 to 0.8 of the side; brightness and contrast 0 to
    0.8: each image's are changed by up to that share; strength 0 to 1, for trivial the most that is drawn. `mix` blends
    pairs of images and their targets: mixup as a weighted mean (Zhang et al. 2018), cutmix by a pasted box (Yun et al.
    2019), with a weight drawn from Beta(mix_alpha, mix_alpha), mix_alpha 0.05 to 4.
    """

    name: ClassVar[str] = "augment"
    stage: ClassVar[Stage] = "train"
    topic: ClassVar[Topic] = Topic.PREPROCESSING
    when: ClassVar = {"model": NETWORKS}
    field_when: ClassVar = {
        **{name: {"augment": CHANGES} for name in ("flip", "pad_share", "cutout_share", "brightness", "contrast")},
        "strength": {"augment": ("trivial", "rand")},
        "mix_alpha": {"augment.mix": MIXES},
    }

    policy: str = choice("none", *CHANGES, main=True, help="how training images are changed in every epoch")
    flip: bool = choice(True, False, help="mirror half of the images, left to right")
    pad_share: float = real(0.125, low=0.0, high=0.5, help="furthest move, as a share of the side")
    cutout_share: float = real(0.25, low=0.0, high=0.8, help="side of the covered square, as a share of the side")
    brightness: float = real(0.0, low=0.0, high=0.8, help="most by which brightness is changed, as a share")
    contrast: float = real(0.0, low=0.0, high=0.8, help="most by which contrast is changed, as a share")
    strength: float = real(0.5, low=0.0, high=1.0, help="of the drawn operations: 1 turns by 30 degrees, say")
    mix: str = choice("none", *MIXES, help="whether pairs of images are blended, targets included")
    mix_alpha: float = real(0.5, low=0.05, high=4.0, log=True, help="how even the blends are: 1 draws any weight")

    @classmethod
    def applies(cls, task: TaskFacts, slot: Slot) -> str | None:
        if task.modality is Modality.IMAGES:
            return None
        return f"it changes images, and this task is {task.modality}"

    @property
    def leaves_images(self) -> bool:
        """Whether every image is the same in every epoch."""
        return self.policy == "none" and self.mix == "none"

    def apply(self, batch: "Batch", generator: "torch.Generator", classes: int) -> "Batch":
        """The batch, augmented: `inputs[0]` are pixels, uint8 or float 0..255 (rows, h, w, 3), and keep their type.

        Class numbers that were mixed become float32 (rows, classes). All that is random comes from `generator`, which
        may live on the CPU or on the batch's device. The batch that came in is not changed.
        """
        if self.leaves_images:
            return batch
        from autoopt.strategies.learning import augment_ops as ops

        pixels, *others = batch.inputs
        target = batch.target
        pixels = self.changed(pixels, generator)
        if self.mix != "none" and len(pixels) > 1:
            blended = ops.mixup if self.mix == "mixup" else ops.cutmix
            pixels, target = blended(pixels, ops.soft(target, classes), self.mix_alpha, generator)
        return replace(batch, inputs=(pixels, *others), target=target)

    def changed(self, pixels: "torch.Tensor", generator: "torch.Generator") -> "torch.Tensor":
        """The images (rows, h, w, 3) as `policy` has them, each by itself: pairs are not mixed."""
        if self.policy == "none":
            return pixels
        from autoopt.strategies.learning import augment_ops as ops

        pixels = ops.moved(pixels, flip=self.flip, pad_share=self.pad_share, generator=generator)
        if self.policy == "trivial":
            pixels = ops.operated(pixels, self.strength, drawn=True, generator=generator)
        elif self.policy == "rand":
            for _ in range(RAND_OPERATIONS):
                pixels = ops.operated(pixels, self.strength, drawn=False, generator=generator)
        if self.brightness > 0 or self.contrast > 0:
            pixels = ops.lit(pixels, self.brightness, self.contrast, generator)
        return ops.cut_out(pixels, self.cutout_share, generator)
