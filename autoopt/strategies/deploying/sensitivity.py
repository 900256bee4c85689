"""Which layers of a network suffer most from int8: measured, by putting each back to float alone."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from autoopt.runtime import Session

Quantized = Callable[[Sequence[str]], onnx.ModelProto]
"""The graph in int8 but for the nodes of these names."""


def most_sensitive(
    model: onnx.ModelProto, quantized: Quantized, nodes: Sequence[str], feed: Mapping[str, NDArray[Any]], count: int
) -> list[str]:
    """Of `nodes`, the `count` whose return to float brings the scores nearest to those of the float `model`.

    Each is put back alone, beside those chosen before: layers that are next to each other share their ranges, so that
    the second best of a first look is often the neighbour of the best, and adds nothing to it. After the first choice
    only the half that was better when last looked at is looked at again.
    """
    expected = scores_of(model, feed)
    kept: list[str] = []
    left, looked_at = list(nodes), len(nodes)
    errors: dict[str, float] = {}
    while len(kept) < count:
        errors |= {name: error(expected, scores_of(quantized([*kept, name]), feed)) for name in left[:looked_at]}
        best, *left = sorted(left[:looked_at], key=errors.__getitem__) + left[looked_at:]
        kept.append(best)
        looked_at = max(2, len(left) // 2)
    return kept


def scores_of(model: onnx.ModelProto, feed: Mapping[str, NDArray[Any]]) -> NDArray[np.float64]:
    """The scores of a graph, on one thread."""
    return Session(model.SerializeToString()).run(feed).astype(np.float64)


def error(expected: NDArray[np.float64], found: NDArray[np.float64]) -> float:
    """Mean square of what the scores differ by; infinite where some are not finite."""
    difference = float(np.mean((expected - found) ** 2))
    return difference if np.isfinite(difference) else float("inf")
