"""Which layers of a network suffer most from int8: measured, by putting each back to float alone."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

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
    if count >= len(nodes):
        return list(nodes)
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
    """The first output of a graph, on one thread."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    outputs: NDArray[np.float64] = np.asarray(session.run(None, dict(feed))[0], dtype=np.float64)
    return outputs


def error(expected: NDArray[np.float64], found: NDArray[np.float64]) -> float:
    """Mean square of what the scores differ by; infinite where some are not finite."""
    difference = float(np.mean((expected - found) ** 2))
    return difference if np.isfinite(difference) else float("inf")
