"""Networks of convolutions in int8."""

import math
from typing import Final

import numpy as np
import onnx
from numpy.typing import NDArray

from autoopt.strategies.deploying.quantizer import calibration_reader, loaded, on_disk
from autoopt.strategies.model import Prepared

CONVOLUTION: Final = "Conv"
PRODUCTS: Final = ("Gemm", "MatMul")
BETWEEN: Final = ("Relu", "Clip", "MaxPool", "Add")
"""What lies between convolutions and can stay in int8."""


def mostly_convolutions(model: onnx.ModelProto) -> bool:
    """Whether more of the weights belong to convolutions than to other products."""
    sizes = {i.name: math.prod(i.dims) for i in model.graph.initializer}

    def weights(*types: str) -> int:
        return sum(sizes.get(n.input[1], 0) for n in model.graph.node if n.op_type in types)

    return weights(CONVOLUTION) > weights(*PRODUCTS)


def static_int8_convolutions(
    model: onnx.ModelProto, calibration: Prepared, chosen: NDArray[np.int64]
) -> onnx.ModelProto:
    """Convolutions and products on int8 weights, a scale for each channel, and uint8 inputs; ranges from the chosen
    calibration rows.

    Unlike between plain products, what lies between convolutions is quantized too: it is many times larger than the
    weights, and only with both its sides in int8 does the runtime compute a convolution in integers. The normalization
    of pixels before it and the scores after it stay float.
    """
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    with on_disk(model) as (source, target):
        quantize_static(
            source,
            target,
            calibration_reader(model, calibration, chosen),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=[CONVOLUTION, *PRODUCTS, *BETWEEN],
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            extra_options={"OpTypesToExcludeOutputQuantization": list(PRODUCTS)},
        )
        return loaded(target, model)
