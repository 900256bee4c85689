"""A picture of what a training on images saw: some images, and what augmentation made of them."""

from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from autoopt.space.recipe import Recipe
from autoopt.stages.contract import AUGMENTED
from autoopt.strategies.learning.augment import Augment
from autoopt.strategies.model import TrainingData
from autoopt.strategies.prepared import Pixels
from autoopt.task.spreading import spread_rows

IMAGES: Final = 8
DRAWS: Final = 4
_GAP = 2  # pixels between images
_WHITE = 255
_MOST_SIDE = 128  # larger images are shown smaller, by leaving out pixels


def save_augmented(data: TrainingData[Any], recipe: Recipe, seed: int, folder: Path) -> None:
    """Write AUGMENTED into `folder` where the recipe augments images: in the first row they are as they came."""
    augment = Augment.from_recipe(recipe)
    if not isinstance(data.train, Pixels) or (augment.policy == "none" and augment.mix == "none"):
        return
    from PIL import Image  # learning libraries: not before there are images

    rows = spread_rows(data.train.rows, IMAGES)
    pixels, target = np.ascontiguousarray(data.train.pixels[rows]), np.asarray(data.train_target[rows])
    drawn = [_augmented(augment, pixels, target, len(data.facts.classes), seed + k) for k in range(DRAWS)]
    Image.fromarray(_grid([pixels, *drawn])).save(folder / AUGMENTED, format="PNG")


def _augmented(
    augment: Augment, pixels: NDArray[np.uint8], target: NDArray[Any], classes: int, seed: int
) -> NDArray[np.uint8]:
    import torch

    from autoopt.strategies.learning.source import Batch

    batch = Batch(inputs=(torch.from_numpy(pixels.copy()),), target=torch.from_numpy(target.copy()))
    changed = augment.apply(batch, torch.Generator().manual_seed(seed % 2**63), classes).inputs[0]
    found: NDArray[np.uint8] = changed.clamp(0, _WHITE).to(torch.uint8).numpy()
    return found


def _grid(rows: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Rows of images (n, h, w, 3) as one picture, on white."""
    every = -(-max(rows[0].shape[1:3]) // _MOST_SIDE)
    padding = ((0, 0), (_GAP, _GAP), (_GAP, _GAP), (0, 0))
    shown = [np.pad(images[:, ::every, ::every], padding, constant_values=_WHITE) for images in rows]
    return np.concatenate([np.concatenate(list(images), axis=1) for images in shown], axis=0)
