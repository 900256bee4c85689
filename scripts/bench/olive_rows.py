"""Rows of a bench as Olive takes them: its registry finds these functions by name."""

from typing import Any

import numpy as np
from olive.data.registry import Registry
from torch import Tensor
from torch.utils.data import Dataset


class Rows(Dataset):
    """Row by row: ({input: values}, class)."""

    def __init__(self, path: str, part: str) -> None:
        with np.load(path, allow_pickle=False) as held:
            self._inputs = {n.partition("/")[2]: held[n] for n in held.files if n.partition("/")[0] == part}
            first = next(iter(self._inputs.values()))
            self._labels = held["label"] if part == "valid" else np.zeros(len(first), dtype=np.int64)

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, row: int) -> tuple[dict[str, Any], Any]:
        return {name: values[row] for name, values in self._inputs.items()}, self._labels[row]


@Registry.register_dataset()
def bench_rows(path: str, part: str, **_: Any) -> Rows:
    """The rows of one part."""
    return Rows(path, part)


@Registry.register_post_process()
def bench_classes(output: Any, **_: Any) -> Tensor:
    """Classes of scores."""
    scores = output if isinstance(output, Tensor) else next(iter(output.values()))
    return scores.argmax(dim=1)
