"""Rows whose images are augmented by whoever reads them."""

import hashlib
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray

from autoopt.files import derived_seed
from autoopt.strategies.learning.augment import Augment
from autoopt.strategies.learning.rows import Arrays, Rows


@final
class AugmentedRows(Rows):
    """Other rows, the first of their inputs, pixels (n, h, w, 3), changed by an augmentation's policy.

    What is drawn hangs on the seed, on which rows a batch has and on their order. So it is new in every epoch, as rows
    are shuffled; it is the same for any number of workers; and a training that goes on from a checkpoint, which
    shuffles as it would have, draws as it would have.
    """

    def __init__(self, plain: Rows, augment: Augment, seed: int) -> None:
        self._plain = plain
        self._augment = augment
        self._seed = seed

    @property
    def rows(self) -> int:
        return self._plain.rows

    def take(self, indices: NDArray[np.int64]) -> Arrays:
        pixels, *others = self._plain.take(indices)
        batch = hashlib.sha256(np.ascontiguousarray(indices).tobytes()).hexdigest()
        generator = torch.Generator().manual_seed(derived_seed(self._seed, batch))
        return self._augment.changed(torch.from_numpy(pixels), generator).numpy(), *others
