"""Small graphs as others bring them, and rows for them: made by hand, no training."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

INPUTS, HIDDEN, CLASSES, ROWS = 8, 64, 3, 240


def constant(values: NDArray[Any], name: str) -> onnx.TensorProto:
    return numpy_helper.from_array(values, name)


def graph(
    *,
    batch: int | str = "rows",
    opset: int = 17,
    softmax: bool = True,
    columns: int = CLASSES,
    flat: bool = False,
    hidden: int = HIDDEN,
) -> onnx.ModelProto:
    """Two products with biases, as converters write them (MatMul, Add), and the label beside the scores."""
    rng = np.random.default_rng(0)
    last_weight = rng.normal(size=(hidden, columns)).astype(np.float32) / 8
    weights = [
        constant(rng.normal(size=(INPUTS, hidden)).astype(np.float32), "w0"),
        constant(rng.normal(size=hidden).astype(np.float32), "b0"),
        constant(last_weight - last_weight.mean(axis=0), "w1"),  # so that no class always wins
        constant(np.zeros(columns, dtype=np.float32), "b1"),
    ]
    last = "scores_of_it" if softmax else "probabilities"
    nodes = [
        helper.make_node("MatMul", ["X", "w0"], ["m0"]),
        helper.make_node("Add", ["m0", "b0"], ["a0"]),
        helper.make_node("Relu", ["a0"], ["r0"]),
        helper.make_node("MatMul", ["r0", "w1"], ["m1"]),
        helper.make_node("Add", ["m1", "b1"], [last if not flat else "column"]),
    ]
    if softmax:
        nodes.append(helper.make_node("Softmax", [last], ["probabilities"], axis=1))
    if flat:
        weights.append(constant(np.array([-1], dtype=np.int64), "flat"))
        nodes.append(helper.make_node("Reshape", ["column", "flat"], ["probabilities"]))
    nodes.append(helper.make_node("ArgMax", ["r0"], ["label"], axis=1, keepdims=0))
    outputs = [
        helper.make_tensor_value_info("label", TensorProto.INT64, [batch]),
        helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [batch] if flat else [batch, columns]),
    ]
    inputs = [helper.make_tensor_value_info("X", TensorProto.FLOAT, [batch, INPUTS])]
    made = helper.make_graph(nodes, "brought", inputs, outputs, weights)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.checker.check_model(model)
    return model


def pixel_graph(*, layout: str = "NCHW", side: int = 8) -> onnx.ModelProto:
    """The mean of each colour, a class each, behind a convolution that keeps them apart."""
    shape = ["rows", 3, side, side] if layout == "NCHW" else ["rows", side, side, 3]
    nodes = [] if layout == "NCHW" else [helper.make_node("Transpose", ["pixels"], ["first"], perm=[0, 3, 1, 2])]
    kernel = np.eye(3, dtype=np.float32).reshape(3, 3, 1, 1)
    nodes += [
        helper.make_node("Conv", ["pixels" if layout == "NCHW" else "first", "kernel"], ["convolved"]),
        helper.make_node("GlobalAveragePool", ["convolved"], ["means"]),
        helper.make_node("Flatten", ["means"], ["logits"]),
    ]
    made = helper.make_graph(
        nodes,
        "colours",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["rows", 3])],
        [constant(kernel, "kernel")],
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def rows(count: int = ROWS, seed: int = 1) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(count, INPUTS)).astype(np.float32)


def write_graph(path: Path, model: onnx.ModelProto | None = None) -> Path:
    path.write_bytes((model or graph()).SerializeToString())
    return path


def write_rows(path: Path, **arrays: NDArray[Any]) -> Path:
    np.savez(path, **arrays)  # type: ignore[arg-type]  # names are the arrays'
    return path


def write_images(folder: Path, count: int = 12) -> Path:
    """A folder for each colour, with pictures of it."""
    from PIL import Image

    rng = np.random.default_rng(0)
    for k, name in enumerate(("blue", "green", "red")):
        (folder / name).mkdir(parents=True)
        for n in range(count):
            pixels = rng.integers(0, 120, size=(8, 8, 3)).astype(np.uint8)
            pixels[..., k] += 100
            Image.fromarray(pixels).save(folder / name / f"{n}.png")
    return folder
