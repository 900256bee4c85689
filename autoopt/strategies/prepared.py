"""What preparing leaves of images and texts, for models to learn from; tables have `model.Features`."""

from dataclasses import dataclass, replace
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

    def first(self, rows: int) -> "Pixels":
        return replace(self, pixels=self.pixels[:rows])


@final
@dataclass(frozen=True, kw_only=True)
class Tokens(Prepared):
    """Texts as token numbers: CODES. 0 is padding, at the end of a row only; 1 is a token that training did not see."""

    codes: NDArray[np.int64]  # (rows, length)
    vocabulary: int  # how many numbers there are, 0 and 1 included
    vectors: NDArray[np.float32] | None = None  # (vocabulary, dimension): what embeddings begin with; NaN: no vector
    fixed: bool = False  # the vectors stay as they are

    @property
    def rows(self) -> int:
        return len(self.codes)

    def model_feed(self, chosen: NDArray[np.int64] | slice) -> dict[str, NDArray[Any]]:
        return {CODES: np.ascontiguousarray(self.codes[chosen])}

    def first(self, rows: int) -> "Tokens":
        return replace(self, codes=self.codes[:rows])


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


@final
@dataclass(frozen=True, kw_only=True)
class Arrays(Prepared):
    """Inputs of the user's own module. Of train either all rows, or where those are not held some for calibration."""

    names: tuple[str, ...]
    values: tuple[NDArray[Any], ...]  # (rows, ...) each
    target: NDArray[Any]  # (rows,) of these rows
    whole: bool  # these are all rows of the part

    @property
    def rows(self) -> int:
        return len(self.target)

    def model_feed(self, chosen: NDArray[np.int64] | slice) -> dict[str, NDArray[Any]]:
        pairs = zip(self.names, self.values, strict=True)
        return {name: np.ascontiguousarray(values[chosen]) for name, values in pairs}

    def first(self, rows: int) -> "Arrays":
        if not self.whole:  # the user's dataset is read anyway
            return self
        return replace(self, values=tuple(v[:rows] for v in self.values), target=self.target[:rows])
