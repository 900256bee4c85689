"""The ranges of static int8 that are not the extremes: found from a sample of the values between a network's layers.

The runtime's own are not used: its entropy method has by default as many bins as levels, so that nothing can be cut
off, and with more bins it compares what a ReLU leaves with half of the levels that it will have; its percentile keeps
every value of every row in memory.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from autoopt.strategies.deploying.entropy import least_divergent_range

MINMAX, ENTROPY, PERCENTILE = "minmax", "entropy", "percentile"
PERCENT: Final = 99.9
"""Of the values, the range of PERCENTILE holds so many; what it leaves out lies half at either end."""
SAMPLE: Final = 1 << 17
"""Values that are kept of each tensor, drawn from all its rows: half a MB."""

Feed = Mapping[str, NDArray[Any]]


def percentile_range(values: NDArray[np.floating]) -> tuple[float, float]:
    """What the middle PERCENT of `values` (n,) lie within."""
    beyond = (100 - PERCENT) / 2
    low, high = np.percentile(values, [beyond, 100 - beyond], method="nearest")
    return float(low), float(high)


RANGES: Final[Mapping[str, Callable[[NDArray[np.floating]], tuple[float, float]]]] = {
    ENTROPY: least_divergent_range,
    PERCENTILE: percentile_range,
}


def write_ranges(path: Path, source: Path, types: Sequence[str], feeds: Iterable[Feed], rows: int, method: str) -> None:
    """Write for the runtime's quantizer the range of each tensor beside nodes of `types` in the graph at `source`.

    `feeds` are `rows` rows in all, a batch at a time.
    """
    from onnxruntime.quantization.calibrate import CalibrationMethod, TensorData, TensorsData, save_tensors_data

    found = {}
    for name, values in _sampled(source, types, feeds, rows).items():
        low, high = RANGES[method](values)
        found[name] = TensorData(lowest=np.array(low, values.dtype), highest=np.array(high, values.dtype))
    save_tensors_data(TensorsData(CalibrationMethod.MinMax, found), path)


def _sampled(source: Path, types: Sequence[str], feeds: Iterable[Feed], rows: int) -> dict[str, NDArray[np.floating]]:
    """About SAMPLE finite values of each tensor, the extremes among them; zeros for one that has none."""
    from onnxruntime.quantization.calibrate import CalibrationMethod, create_calibrator

    random = np.random.default_rng(0)
    watching = source.with_name("watching.onnx")
    calibrator = create_calibrator(source, types, str(watching), calibrate_method=CalibrationMethod.Percentile)
    names = sorted(calibrator.tensors_to_calibrate)
    parts: dict[str, list[NDArray[np.floating]]] = {name: [] for name in names}
    extremes: dict[str, tuple[np.floating, np.floating]] = {}
    for feed in feeds:
        share = len(next(iter(feed.values()))) / rows
        given = [name for name in names if name not in feed]
        seen = dict(zip(given, calibrator.infer_session.run(given, dict(feed)), strict=True)) | dict(feed)
        for name in names:
            values = seen[name][np.isfinite(seen[name])]
            if values.size:
                parts[name].append(_some(values, math.ceil(share * SAMPLE), random))
                low, high = extremes.get(name, (values[0], values[0]))
                extremes[name] = min(low, values.min()), max(high, values.max())
    nothing = np.float32(0), np.float32(0)
    return {name: np.concatenate([*parts[name], extremes.get(name, nothing)]) for name in names}


def _some(values: NDArray[np.floating], most: int, random: np.random.Generator) -> NDArray[np.floating]:
    """At most so many of `values` (n,), drawn."""
    return values if values.size <= most else values[random.integers(0, values.size, most)]
