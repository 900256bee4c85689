"""The runtime's quantizer at work: models on disk for it, calibration rows in its form, its leftovers dropped."""

import logging
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from autoopt.strategies.deploying.convolutions import PRODUCTS
from autoopt.strategies.deploying.tidied import MATRIX_RANK
from autoopt.strategies.model import Prepared

CALIBRATION_BATCH_ROWS = 32
"""Of texts, whose inputs are small: with 256 rows a transformer of 128 units and tokens took 3.7 GB, with 32 0.5."""
CALIBRATION_BYTES = 1 << 22
"""Of a batch's inputs: what lies between the layers of a network takes a hundred times as much."""
WIDE_COLUMN = 4.0


@contextmanager
def on_disk(model: onnx.ModelProto) -> Iterator[tuple[Path, Path]]:
    """The model on disk, cleaned for the quantizer, and where to write; a private folder that goes away again."""
    from onnxruntime.quantization.shape_inference import quant_pre_process

    plain = onnx.ModelProto()
    plain.CopyFrom(model)
    del plain.graph.value_info[:]  # shapes left over from before make the quantizer's own inference fail
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)  # the quantizer gives its advice through the root logger
    try:
        with tempfile.TemporaryDirectory(prefix="autoopt-quantize-") as folder:
            source = Path(folder) / "float.onnx"
            # Its graph optimizer would put operators of the runtime's own into the file; ours has nothing to gain.
            quant_pre_process(plain, str(source), skip_optimization=True, skip_symbolic_shape=True)
            yield source, Path(folder) / "int8.onnx"
    finally:
        root.setLevel(level)


def loaded(path: Path, original: onnx.ModelProto) -> onnx.ModelProto:
    """The quantized model: same IR version, the quantizer's notes and leftover shapes dropped."""
    model = onnx.load(path)
    del model.graph.value_info[:]
    del model.metadata_props[:]
    model.ir_version = original.ir_version
    model.producer_name, model.producer_version = original.producer_name, original.producer_version
    onnx.checker.check_model(model, full_check=True)
    return model


def rounded_for_products_alone(model: onnx.ModelProto, kept: Collection[str]) -> onnx.ModelProto:
    """The quantized model changed in place: what others than its int8 products read is what there was before rounding.

    The quantizer lets all readers of a tensor see its levels. A skip beside a product then costs a node more and
    precision. `kept`: names of products that are not in int8.
    """
    nodes = model.graph.node
    before = {node.output[0]: node.input[0] for node in nodes if node.op_type == "QuantizeLinear"}
    exact = {n.output[0]: before[n.input[0]] for n in nodes if n.op_type == "DequantizeLinear" and n.input[0] in before}
    for node in nodes:
        if node.op_type not in PRODUCTS or node.name in kept:
            node.input[:] = [exact.get(name, name) for name in node.input]
    return model


def calibration_reader(
    model: onnx.ModelProto, calibration: Prepared, chosen: NDArray[np.int64], *, most_bytes: int = CALIBRATION_BYTES
) -> Any:
    """The chosen calibration rows in batches of at most `most_bytes`, as the quantizer wants them."""
    from onnxruntime.quantization import CalibrationDataReader

    names = {value.name for value in model.graph.input}
    row_bytes = sum(values.nbytes for values in calibration.model_feed(chosen[:1]).values())
    fitting = max(1, min(CALIBRATION_BATCH_ROWS, most_bytes // max(row_bytes, 1)))
    batch = 1 if takes_one_row(model) else fitting

    def feeds() -> Iterator[dict[str, NDArray[Any]]]:
        for start in range(0, len(chosen), batch):
            rows = calibration.model_feed(chosen[start : start + batch])
            yield {name: values for name, values in rows.items() if name in names}

    waiting = feeds()

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # the library has no types
        def get_next(self) -> dict[str, NDArray[Any]] | None:
            return next(waiting, None)

    return Reader()


def takes_one_row(model: onnx.ModelProto) -> bool:
    """Whether the graph's inputs hold exactly one row, as those of others may."""
    constants = {i.name for i in model.graph.initializer}
    shapes = [v.type.tensor_type.shape.dim for v in model.graph.input if v.name not in constants]
    return all(len(sizes) and sizes[0].dim_value == 1 for sizes in shapes)


def columns_differ(model: onnx.ModelProto) -> bool:
    """Whether some matrix needs a scale for each output: its widest one is far wider than most.

    One scale for a whole matrix is 3 % smaller and 10 to 15 % faster at batch 1, and as good unless a few outputs
    claim the range: at 4 times the median width, the others have lost two of their eight bits.
    """
    constants = {i.name: i for i in model.graph.initializer}
    for node in model.graph.node:
        matrix = constants.get(node.input[1]) if node.op_type in PRODUCTS else None
        if matrix is None or len(matrix.dims) != MATRIX_RANK:
            continue
        inputs_axis = 1 if any(a.name == "transB" and a.i for a in node.attribute) else 0
        widths = np.abs(onnx.numpy_helper.to_array(matrix)).max(axis=inputs_axis)
        if widths.max() > WIDE_COLUMN * np.median(widths):
            return True
    return False


def stacks(model: onnx.ModelProto) -> list[str]:
    """Names of constants that are several matrices side by side: of these the runtime takes one scale, or it refuses
    to run the graph."""
    sizes = {i.name: len(i.dims) for i in model.graph.initializer}
    read = (node.input[1] for node in model.graph.node if node.op_type == "MatMul")
    return [name for name in dict.fromkeys(read) if sizes.get(name, 0) > MATRIX_RANK]
