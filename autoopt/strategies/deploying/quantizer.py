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

from autoopt.strategies.model import Prepared

CALIBRATION_BATCH_ROWS = 256


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
    feeds: list[dict[str, NDArray[Any]]] = []
    for start in range(0, len(chosen), CALIBRATION_BATCH_ROWS):
        rows = calibration.model_feed(chosen[start : start + CALIBRATION_BATCH_ROWS])
        feeds.append({name: values for name, values in rows.items() if name in names})
    waiting = iter(feeds)

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # the library has no types
        def get_next(self) -> dict[str, NDArray[Any]] | None:
            return next(waiting, None)

    return Reader()
