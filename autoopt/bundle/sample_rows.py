"""The raw rows that a bundle carries, as feeds of any size."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoopt.bundle.load import Bundle
from autoopt.errors import BundleError

Feed = dict[str, NDArray[Any]]


def feeds_of_sample(bundle: Bundle, *, rows: int, most: int = 16) -> list[Feed]:
    """Up to `most` different feeds of so many rows each: the sample's rows, over and over where there are fewer.

    Raises BundleError when the bundle carries no rows, DataError when its rows do not fit the front.
    """
    feed = bundle.front.feed(bundle.sample()["columns"])
    count = len(next(iter(feed.values())))
    if count == 0:
        raise BundleError(f"{bundle.folder} carries no rows to measure with. Export again.")
    starts = range(0, count, max(1, -(-count // most)))
    return [{name: values[(start + np.arange(rows)) % count] for name, values in feed.items()} for start in starts]
