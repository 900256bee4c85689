"""What preparing leaves of images and texts, for models to learn from; tables have `model.Features`."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import numpy as np
from numpy.typing import NDArray

from autoopt.strategies.model import CODES, FEATURES, Prepared

if TYPE_CHECKING:
    import scipy.sparse


@final
@dataclass(frozen=True, kw_only=True)
class Pixels(Prepared):
    """Images of one size. The model's graph takes them as they are, FEATURES, and does its own normalizing."""

    pixels: NDArray[np.uint8]  # (rows, height, width, 3), usually mapped from disk

    @property
    def rows(self) -> int:
        return len(self.pixels)

    def model_feed(self, chosen: NDArray[np.int64] | slice) -> dict[str, NDArray[Any]]:
        return {FEATURES: np.ascontiguousarray(self.pixels[chosen])}


@final
@dataclass(frozen=True, kw_only=True)
class Tokens(Prepared):
    """Texts as token numbers: CODES. 0 is padding, at the end of a row only; 1 is a token that training did not see."""

    codes: NDArray[np.int64]  # (rows, length)
    vocabulary: int  # how many numbers there are, 0 and 1 included

    @property
    def rows(self) -> int:
        return len(self.codes)

    def model_feed(self, chosen: NDArray[np.int64] | slice) -> dict[str, NDArray[Any]]:
        return {CODES: np.ascontiguousarray(self.codes[chosen])}


@final
@dataclass(frozen=True, kw_only=True)
class Counts(Prepared):
    """Texts as weighted n-gram counts: FEATURES, dense in the graph and sparse here."""

    values: "scipy.sparse.csr_array"  # float32 (rows, n-grams)

    @property
    def rows(self) -> int:
        return int(self.values.shape[0])

    def model_feed(self, chosen: NDArray[np.int64] | slice) -> dict[str, NDArray[Any]]:
        return {FEATURES: self.values[chosen].toarray().astype(np.float32)}
