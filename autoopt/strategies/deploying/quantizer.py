"""The runtime's quantizer at work: models on disk for it, calibration rows in its form, its leftovers dropped."""

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from autoopt.strategies.deploying.convolutions import PRODUCTS
from autoopt.strategies.model import Prepared

CALIBRATION_BATCH_ROWS = 256
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


def calibration_reader(model: onnx.ModelProto, calibration: Prepared, chosen: NDArray[np.int64]) -> Any:
    """The chosen calibration rows in batches, as the quantizer wants them."""
    from onnxruntime.quantization import CalibrationDataReader

    names = {value.name for value in model.graph.input}
    row_bytes = sum(values.nbytes for values in calibration.model_feed(chosen[:1]).values())
    fitting = max(1, min(CALIBRATION_BATCH_ROWS, CALIBRATION_BYTES // max(row_bytes, 1)))
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
    """Whether some matrix needs a scale for each output column: its widest column is far wider than most.

    One scale for a whole matrix is 3 % smaller and 10 to 15 % faster at batch 1, and as good unless a few columns
    claim the range: at 4 times the median width, the others have lost two of their eight bits.
    """
    matrices = {name for node in model.graph.node if node.op_type in PRODUCTS for name in node.input[1:2]}
    for initializer in model.graph.initializer:
        if initializer.name in matrices:
            widths = np.abs(onnx.numpy_helper.to_array(initializer)).max(axis=0)
            if widths.max() > WIDE_COLUMN * np.median(widths):
                return True
    return False
