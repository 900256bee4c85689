"""LightGBM's text format → arrays. Reading the text is an order of magnitude faster than walking `dump_model`."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from autoopt.strategies.trees.arrays import Floats, TreeArrays, starts

_KEYS: Final = (
    "num_leaves",
    "num_cat",
    "is_linear",
    "split_feature",
    "threshold",
    "decision_type",
    "left_child",
    "right_child",
    "leaf_value",
)
_CATEGORICAL: Final = 1  # bits of `decision_type`
_DEFAULT_LEFT: Final = 2
_MISSING: Final = 12
_MISSING_ZERO: Final = 4
_MISSING_NAN: Final = 8


def trees_from_text(text: str, *, outputs: int) -> TreeArrays:
    """Arrays of a booster's `model_to_string()`: tree i adds to output i % outputs.

    Raises ValueError for what autoopt never trains: categorical splits, zero as missing, linear trees.
    """
    found = {key: _numbers(lines) for key, lines in _lines(text).items()}
    leaves = found["num_leaves"].astype(np.int64)
    if not len(leaves):
        return _constant_tree(outputs)
    if found["num_cat"].any() or found["is_linear"].any():
        raise ValueError("categorical splits and linear trees cannot be read")
    splits = leaves - 1
    split_starts, leaf_starts = starts(splits), starts(leaves)
    first_split, first_leaf = np.repeat(split_starts[:-1], splits), np.repeat(leaf_starts[:-1], splits)

    def child(name: str) -> NDArray[np.int32]:
        local = found[name].astype(np.int64)
        return np.where(local >= 0, local + first_split, local - first_leaf).astype(np.int32)

    return TreeArrays(
        feature=found["split_feature"].astype(np.int32),
        threshold=found["threshold"],
        left=child("left_child"),
        right=child("right_child"),
        missing_left=_missing_left(found["decision_type"].astype(np.int64), found["threshold"]),
        leaf_values=found["leaf_value"][:, None],
        leaf_weights=np.zeros(0),
        split_starts=split_starts,
        leaf_starts=leaf_starts,
        tree_output=(np.arange(len(leaves)) % outputs).astype(np.int32),
    )


def _missing_left(decision: NDArray[np.int64], threshold: Floats) -> NDArray[np.bool_]:
    """Where NaN goes: where LightGBM learned it, or with 0 where it saw no missing value at that feature."""
    if (decision & _CATEGORICAL).any() or ((decision & _MISSING) == _MISSING_ZERO).any():
        raise ValueError("categorical splits and zero as missing cannot be read")
    learned = (decision & _MISSING) == _MISSING_NAN
    return np.where(learned, (decision & _DEFAULT_LEFT) != 0, threshold >= 0)


def _lines(text: str) -> dict[str, list[str]]:
    """What stands behind `key=` in the part about trees, tree after tree."""
    found: dict[str, list[str]] = {key: [] for key in _KEYS}
    body = text[text.find("\nTree=") :].partition("\nend of trees")[0]
    for line in body.split("\n"):
        key, _, values = line.partition("=")
        if key in found:
            found[key].append(values)
    return found


def _numbers(lines: list[str]) -> Floats:
    """All numbers, tree after tree. np.fromstring reads decimals to the nearest float64."""
    joined = " ".join(lines).strip()
    return np.fromstring(joined, sep=" ") if joined else np.zeros(0)


def _constant_tree(outputs: int) -> TreeArrays:
    """One tree that adds nothing: what a booster without trees computes."""
    none: Any = np.zeros(0)
    return TreeArrays(
        feature=none.astype(np.int32),
        threshold=none,
        left=none.astype(np.int32),
        right=none.astype(np.int32),
        missing_left=none.astype(bool),
        leaf_values=np.zeros((outputs, 1)),
        leaf_weights=none,
        split_starts=np.zeros(outputs + 1, dtype=np.int64),
        leaf_starts=np.arange(outputs + 1),
        tree_output=np.arange(outputs, dtype=np.int32),
    )
