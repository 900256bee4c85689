"""Some of many rows."""

import numpy as np
from numpy.typing import NDArray


def spread_rows(rows: int, most: int) -> NDArray[np.int64]:
    """At most that many row numbers, evenly over all: the same ones each time."""
    if rows <= most:
        return np.arange(rows)
    return np.unique(np.linspace(0, rows - 1, num=most).round().astype(np.int64))
