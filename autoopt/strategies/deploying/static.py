"""Static int8: products on int8 weights and uint8 inputs, as Q/DQ nodes of the standard.

Inputs are unsigned: with signed ones the runtime rewrites some ranges to unsigned and others not, the two sides of a
product then differ, and half of the products silently run in float with their weights unpacked at every call.

Between plain products nothing is quantized: skips and scores keep their precision, what is read by a product and by
others is rounded for the product alone, and the graph is smaller and faster (an `mlp` of 512 units by a tenth).
Between convolutions what lies there is quantized too: it is many times larger than the weights, and only with both its
sides in int8 does the runtime compute a convolution in integers. The normalization of pixels before it and the scores
after it stay float.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, final

import numpy as np
import onnx
from numpy.typing import NDArray

from autoopt.errors import StageFailure
from autoopt.strategies.deploying.convolutions import (
    BETWEEN,
    CONVOLUTION,
    MULTIPLICATION,
    PRODUCTS,
    in_int8,
    loses_nothing,
)
from autoopt.strategies.deploying.quantizer import (
    calibration_reader,
    columns_differ,
    loaded,
    on_disk,
    rounded_for_products_alone,
    stacks,
)
from autoopt.strategies.deploying.ranges import MINMAX, write_ranges
from autoopt.strategies.deploying.sensitivity import most_sensitive
from autoopt.strategies.model import Prepared
from autoopt.task.spreading import spread_rows
from autoopt.task.wording import count
from autoopt.values import FailureReason

SENSITIVITY_ROWS: Final = 256
WATCHED_BYTES: Final = 1 << 19
"""Of a batch's inputs, where all that lies between the layers is looked at at once."""


@final
@dataclass(frozen=True, kw_only=True)
class Calibration:
    """The rows that ranges are taken from, and how."""

    rows: Prepared
    chosen: NDArray[np.int64]  # numbers of those rows
    method: str = MINMAX

    def some(self, most: int) -> NDArray[np.int64]:
        """At most so many of the chosen rows, evenly spread."""
        return self.chosen[spread_rows(len(self.chosen), most)]


def static_int8(model: onnx.ModelProto, calibration: Calibration, *, keep_float: int = 0) -> onnx.ModelProto:
    """The graph in int8, but for the `keep_float` products and convolutions that cost most of the scores' precision.

    Raises StageFailure where that leaves none in int8.
    """
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    served = in_int8(model)
    if told := why_none_is_left(keep_float, sum(node.op_type in served for node in model.graph.node)):
        raise StageFailure(FailureReason.ERROR, f"quantize.keep_float={keep_float}: {told}")
    convolves = CONVOLUTION in served
    per_channel = convolves or columns_differ(model)
    types = [CONVOLUTION, *PRODUCTS, *BETWEEN, MULTIPLICATION] if convolves else list(PRODUCTS)
    with on_disk(model) as (source, target):
        prepared = onnx.load(source)
        float_anyway = _rounding(prepared)
        ranges = target.with_suffix(".ranges")
        if calibration.method != MINMAX:
            feeds = calibration_reader(model, calibration.rows, calibration.chosen, most_bytes=WATCHED_BYTES)
            write_ranges(ranges, source, types, feeds, len(calibration.chosen), calibration.method)

        def quantized(kept: Sequence[str]) -> onnx.ModelProto:
            quantize_static(
                source,
                target,
                calibration_reader(model, calibration.rows, calibration.chosen),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=types,
                nodes_to_exclude=[*float_anyway, *kept],
                per_channel=per_channel,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                calibrate_method=CalibrationMethod.MinMax,
                calibration_cache_path=ranges,
                extra_options={
                    "OpTypesToExcludeOutputQuantization": list(PRODUCTS),
                    "TensorQuantOverrides": {name: [{"quant_type": QuantType.QInt8}] for name in stacks(model)},
                },
            )
            found = loaded(target, model)
            return found if convolves else rounded_for_products_alone(found, kept)

        return quantized(_kept(prepared, quantized, model, calibration, keep_float) if keep_float else ())


def _rounding(model: onnx.ModelProto) -> list[str]:
    """Names of the multiplications that int8 would round."""
    exact = loses_nothing(model)
    return [n.name for n in model.graph.node if n.op_type == MULTIPLICATION and n.name not in exact]


def why_none_is_left(keep_float: int, nodes: int) -> str | None:
    """Why a form with so many layers in float is the float graph, where there are so many products and convolutions."""
    if keep_float == 0 or keep_float < nodes:
        return None
    return f"it has {count(nodes, 'product or convolution', 'products and convolutions')}: none would be in int8"


def _kept(
    prepared: onnx.ModelProto,
    quantized: Callable[[Sequence[str]], onnx.ModelProto],
    model: onnx.ModelProto,
    calibration: Calibration,
    wanted: int,
) -> list[str]:
    """Names of the nodes that stay in float."""
    served = in_int8(model)
    nodes = [n.name for n in prepared.graph.node if n.op_type in served]
    rows = calibration.some(SENSITIVITY_ROWS)
    names = {value.name for value in model.graph.input}
    feed = {name: values for name, values in calibration.rows.model_feed(rows).items() if name in names}
    return most_sensitive(model, quantized, nodes, feed, wanted)
