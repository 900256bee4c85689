"""The raw rows that a bundle carries, as feeds of any size."""

import numpy as np

from autoopt.bundle.load import Bundle
from autoopt.errors import BundleError
from autoopt.runtime import Feed

FEED_BYTES = 1 << 28
"""Different feeds together take no more than this, unless one does."""


def feeds_of_sample(bundle: Bundle, *, rows: int, most: int = 16) -> list[Feed]:
    """Up to `most` different feeds of so many rows each: the sample's rows, over and over where there are fewer.

    Large ones are fewer.

    Raises BundleError when the bundle carries no rows, or rows that do not fit its front.
    """
    feed = bundle.sample_feed()
    count = len(next(iter(feed.values())))
    if count == 0:
        raise BundleError(f"{bundle.folder} carries no rows to measure with. Export again.")
    row_bytes = sum(values[:1].nbytes for values in feed.values())
    most = max(1, min(most, FEED_BYTES // max(rows * row_bytes, 1)))
    starts = range(0, count, -(-count // most))
    return [{name: values[(start + np.arange(rows)) % count] for name, values in feed.items()} for start in starts]
