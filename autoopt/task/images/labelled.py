"""Images with what is to be learned of them, before they are decoded."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from autoopt.errors import Problem
from autoopt.task.images.found import ImageFile
from autoopt.task.splits import Parts
from autoopt.task.targets import LEAST_CLASS_ROWS, Target
from autoopt.task.wording import count, quoted

LEAST_IMAGES = 20
_NOISY_IMAGES = 200


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """Images, their targets, and the part of each where the source says so."""

    name: str
    files: tuple[ImageFile, ...]
    target_name: str
    target: Target
    row_numbers: NDArray[np.int64]  # 1-based: of the table, or in the order of paths
    parts: Parts | None = None  # None: by a hash of the pixels
    split: str = ""  # in a user's words, where `parts` are given
    completes: bool = False  # whether a part that is given no images takes some of train
    warnings: tuple[str, ...] = ()

    def take(self, chosen: NDArray[np.int64]) -> "Labelled":
        """Some of the images, in the order of their indices."""
        return replace(
            self,
            files=tuple(self.files[int(k)] for k in chosen),
            target=replace(self.target, values=self.target.values[chosen]),
            row_numbers=self.row_numbers[chosen],
            parts=None if self.parts is None else self.parts[chosen],
        )


def few_images(name: str, images: int) -> tuple[list[Problem], list[str]]:
    """Problems and warnings about their number."""
    if images < LEAST_IMAGES:
        what = f"{name} has {count(images, 'image')}; at least {LEAST_IMAGES} are needed to split and learn."
        return [Problem(what=what, mend="Give more images.")], []
    return [], [f"{count(images, 'image')} are few: every score will be noisy."] if images < _NOISY_IMAGES else []


def small_classes(target: Target) -> list[Problem]:
    """Classes that cannot be in every part."""
    if not target.kind.classifies:
        return []
    counts = np.bincount(target.values[target.values >= 0], minlength=len(target.classes))
    small = np.flatnonzero(counts < LEAST_CLASS_ROWS)
    if not len(small):
        return []
    each = [f"{quoted(target.classes[k])} has {count(int(counts[k]), 'image')}" for k in small[:5]]
    more = f" and {len(small) - 5} more" if len(small) > 5 else ""
    return [
        Problem(
            what=f"Classes with too few images: {'; '.join(each)}{more}.",
            mend=f"Each needs {LEAST_CLASS_ROWS}, one for each of train, valid and test: add images, "
            "or take the class together with another, or remove it.",
        )
    ]
