"""The user's datasets: what an item holds, and whole parts as arrays."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import psutil
from numpy.typing import NDArray

from autoopt.errors import DataError
from autoopt.files import derived_seed
from autoopt.task.module.loading import user_code
from autoopt.task.spreading import spread_rows
from autoopt.values import format_bytes

MEMORY_SHARE = 0.4
"""Of the memory that is free: what one part may take as arrays."""
HELD_BYTES = 2_000_000_000
"""Of train: what is kept as arrays at most."""
ALIKE_ITEMS = 32
"""How many items are fetched twice to see whether they are always the same."""
_MEND = "Items are (input, target) or (first input, second input, ..., target): tensors, arrays or numbers."


@dataclass(frozen=True, kw_only=True)
class Item:
    """One row: its inputs as arrays, and the number that is to be learned."""

    inputs: tuple[NDArray[Any], ...]
    target: NDArray[Any]  # without dimensions
    flat_target: bool  # whether it came so


@final
class Items:
    """One of the user's datasets, its items taken apart and checked against the first one.

    Every method raises DataError for what the dataset's own code raises and for items that do not fit.
    """

    def __init__(self, part: str, given: Any, folder: Path) -> None:
        """`given` is a dataset, or a function that makes one."""
        from torch.utils.data import Dataset, IterableDataset

        self.part = part
        self.folder = folder
        if callable(given) and not isinstance(given, Dataset | Sequence):
            with user_code(f"{part}()", folder):
                given = given()
        if isinstance(given, IterableDataset):
            mend = "Give a map-style Dataset, with __len__ and __getitem__."
            raise DataError(f"{part} is an IterableDataset: its rows have no numbers.", mend)
        self.dataset = given
        try:
            with user_code(f"len({part})", folder):
                self._rows = len(given)
        except DataError as error:
            if isinstance(error.__cause__, TypeError):
                mend = "Give a map-style torch Dataset, or a function without arguments that makes one."
                raise DataError(f"{part} is a {type(given).__name__}, which has no length.", mend) from error
            raise
        if self._rows == 0:
            raise DataError(f"{part} is empty.", "Give a Dataset with items.")
        self.first = self._taken_apart(0)

    def __len__(self) -> int:
        return self._rows

    def item(self, index: int) -> Item:
        """One row, of the shape of the first."""
        found = self._taken_apart(index)
        for k, (one, other) in enumerate(zip(found.inputs, self.first.inputs, strict=False)):
            if one.shape != other.shape or one.dtype != other.dtype:
                what = f"{self.part}: input {k + 1} of item {index} is {_kind(one)}, that of item 0 {_kind(other)}."
                raise DataError(what, "Give every item the same shape and dtype: pad, crop or convert in the Dataset.")
        if len(found.inputs) != len(self.first.inputs):
            what = f"{self.part}: item {index} has {len(found.inputs)} inputs, item 0 {len(self.first.inputs)}."
            raise DataError(what, _MEND)
        return found

    def items(self, rows: Sequence[int] | NDArray[np.int64]) -> Iterator[Item]:
        """The chosen rows in that order."""
        return (self.item(int(index)) for index in rows)

    def arrays(self, rows: Sequence[int] | NDArray[np.int64]) -> tuple[tuple[NDArray[Any], ...], NDArray[Any]]:
        """The chosen rows side by side: inputs (rows, ...) each, and targets (rows,)."""
        needed = self.item_bytes * len(rows)
        free = int(psutil.virtual_memory().available * MEMORY_SHARE)
        if needed > free:
            what = f"{self.part} takes {format_bytes(needed)} as arrays; {format_bytes(free)} are free for it."
            raise DataError(what, "Give fewer rows, or inputs of a smaller dtype, such as uint8 pixels.")
        inputs = tuple(np.empty((len(rows), *a.shape), dtype=a.dtype) for a in self.first.inputs)
        targets = np.empty(len(rows), dtype=np.float64)
        for at, item in enumerate(self.items(rows)):
            for whole, value in zip(inputs, item.inputs, strict=True):
                whole[at] = value
            targets[at] = item.target
        return inputs, targets

    def fits(self) -> bool:
        """Whether all rows may be kept as arrays."""
        needed = self.item_bytes * self._rows
        return needed <= min(HELD_BYTES, psutil.virtual_memory().available * MEMORY_SHARE)

    @property
    def item_bytes(self) -> int:
        """Bytes of the inputs of one row."""
        return sum(a.nbytes for a in self.first.inputs)

    def always_alike(self) -> bool:
        """Whether items fetched twice are the same: no random augmentation. A few rows are looked at."""
        rows = spread_rows(self._rows, ALIKE_ITEMS)
        for one, other in zip(self.items(rows), self.items(rows), strict=True):
            pairs = zip((*one.inputs, one.target), (*other.inputs, other.target), strict=True)
            if not all(np.array_equal(a, b, equal_nan=a.dtype.kind == "f") for a, b in pairs):
                return False
        return True

    def _taken_apart(self, index: int) -> Item:
        with user_code(f"{self.part}[{index}]", self.folder):
            raw = self.dataset[index]
        where = f"{self.part}: item {index}"
        if not isinstance(raw, tuple | list) or len(raw) < 2:
            raise DataError(f"{where} is a {type(raw).__name__}, not (input, target).", _MEND)
        flat = [v for given in raw[:-1] for v in (given if isinstance(given, tuple | list) else (given,))]
        target = as_array(raw[-1], f"the target of item {index}", self.part)
        if target.size != 1:
            what = f"{where}: the target has the shape {target.shape}; one number is due."
            raise DataError(what, "Give a class number, or one value.")
        inputs = tuple(as_array(v, f"input {k + 1} of item {index}", self.part) for k, v in enumerate(flat))
        return Item(inputs=inputs, target=target.reshape(()), flat_target=target.ndim == 0)


def as_array(value: Any, what: str, part: str) -> NDArray[Any]:
    """A tensor, an array or a number as an array of the dtype that torch's default collation gives it."""
    import torch

    if isinstance(value, torch.Tensor):
        if value.dtype is torch.bfloat16 or value.is_complex() or value.is_quantized:
            raise DataError(f"{part}: {what} has the dtype {value.dtype}.", "Give float32, float64, an int or uint8.")
        return np.asarray(value.detach().cpu().numpy())
    if not isinstance(value, np.ndarray | np.generic | int | float | bool):
        raise DataError(f"{part}: {what} is a {type(value).__name__}.", "Give a tensor, a numpy array or a number.")
    found = np.asarray(value)
    if found.dtype.kind not in "biuf":
        raise DataError(f"{part}: {what} has the dtype {found.dtype}.", "Give numbers.")
    return found


def seed_everything(seed: int) -> None:
    """Every generator that a dataset or a module may draw from."""
    import random

    import torch

    random.seed(seed)
    np.random.seed(derived_seed(seed, "numpy"))
    torch.manual_seed(seed)


def _kind(array: NDArray[Any]) -> str:
    return f"{array.dtype} {array.shape}"
