"""Arrays as the inputs of a user's own module take them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoopt.errors import Problem


def tensor_array(name: str, values: Any, dtype: str, shape: tuple[int, ...], problems: list[Problem]) -> NDArray[Any]:
    """An input (rows, *shape) of this dtype; rows of nothing and a problem where it is none."""
    due = ", ".join(["rows", *map(str, shape)])
    try:
        given = np.asarray(values)
        if given.dtype == np.dtype(object):  # a DataFrame's column of arrays
            given = np.asarray(list(given))
    except (TypeError, ValueError):
        given = np.empty(0, dtype=object)
    if given.shape[1:] != shape or given.ndim != len(shape) + 1:
        came = "rows of different shapes" if given.dtype == object else f"an array {given.shape}"
        problems.append(Problem(what=f"{name!r} must be ({due}); it is {came}.", mend="Give it this shape."))
    elif not _holds(given, np.dtype(dtype)):
        what = f"{name!r} must be {dtype}; it is {given.dtype}, whose values {dtype} cannot hold."
        problems.append(Problem(what=what, mend=f"Give it as {dtype}."))
    else:
        return given.astype(dtype, copy=False)
    return np.zeros((len(given) if given.ndim else 0, 0), dtype=dtype)


def _holds(given: NDArray[Any], wanted: np.dtype[Any]) -> bool:
    """Whether values keep what they say: fractions may lose digits, whole numbers may not overflow or be cut."""
    if given.dtype.kind not in "biuf":
        return False
    if wanted.kind == "f" or np.can_cast(given.dtype, wanted):
        return True
    limits = np.iinfo(wanted) if wanted.kind in "iu" else None
    low, high = (limits.min, limits.max) if limits else (0, 1)
    fits = bool(np.isfinite(given).all() and (given == np.floor(given)).all()) if given.dtype.kind == "f" else True
    return fits and (given.size == 0 or bool(given.min() >= low and given.max() <= high))
