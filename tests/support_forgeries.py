"""What a forger puts in a file's place, every hash made to hold again: only their own reader can refuse it."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import onnx
from onnx import TensorProto, helper
from support_damage import PICKLE, SCRIPT

NO_JSON: dict[str, bytes] = {
    "nothing": b"",
    "a brace": b"{",
    "null": b"null",
    "a list": b"[]",
    "a number": b"7",
    "no UTF-8": b'{"version": "\xff"}',
    "100,000 lists in each other": b"[" * 100_000,
    "a pickle": PICKLE,
    "a script": SCRIPT,
}
"""In the place of any JSON file."""


def fronts(whole: dict[str, Any]) -> Iterator[tuple[str, bytes]]:
    """Contents of front.json that must not get as far as a feed."""
    yield from NO_JSON.items()
    image = {"name": "image", "type": "image", "dtype": "uint8", "shape": [8, 8, 3]}
    tensor = {"name": "x", "type": "tensor", "dtype": "float32", "shape": [4]}
    inputs: list[Any] = [None, [], {}, "age", [{}], [7], [{"name": "age", "type": "script"}], [{"name": "age"}]]
    inputs += [
        [{**image, "shape": shape}] for shape in ([8, 8, 4], [10**6, 10**6, 3], [0, 8, 3], [8], None, [1e400, 8, 3])
    ]
    inputs += [[{**tensor, "shape": shape}] for shape in ([-1], [1 << 20] * 3, ["a"], 4, [10**400])]
    inputs += [
        [{**tensor, "dtype": d}] for d in ("object", "U9", "f8,f8", "(1000000,1000)f8", "nothing", "M8[s]", None)
    ]
    changes: list[dict[str, Any]] = [{"inputs": i} for i in inputs]
    changes += [{"version": v} for v in (0, 2, None, "1", [1])]
    changes += [{"classes": None}, {"classes": 7}, {"numeric_classes": True}, {"outputs": []}, {"outputs": None}]
    for change in changes:
        yield json.dumps(change)[:60], json.dumps({**whole, **change}).encode()
    yield "without kind", json.dumps({k: v for k, v in whole.items() if k != "kind"}).encode()


def samples(whole: dict[str, Any]) -> Iterator[tuple[str, bytes]]:
    """Contents of sample.json without rows that could be checked or measured."""
    yield from NO_JSON.items()
    columns = whole["columns"]
    changed: list[Any] = [None, [], 7, {}, {**columns, "age": ["old"]}, {**columns, "age": [[1, 2], [3, 4]]}]
    changed += [{**columns, "age": [10**400] * 20}, {**columns, "city": ["Ulm"]}, {**columns, "age": {"a": 1}}]
    changed += [{**columns, "age": [["/etc/passwd"]] * 20}, {name: [] for name in columns}]
    for change in changed:
        yield json.dumps(change)[:60], json.dumps({**whole, "columns": change}).encode()


def _model(nodes: list[onnx.NodeProto], output: onnx.ValueInfoProto | None, **parts: Any) -> bytes:
    """A graph with the bundle's columns as inputs."""
    kinds = {
        "age": TensorProto.DOUBLE,
        "income": TensorProto.DOUBLE,
        "city": TensorProto.STRING,
        "job": TensorProto.STRING,
    }
    inputs = [helper.make_tensor_value_info(name, kind, ["rows", 1]) for name, kind in kinds.items()]
    graph = helper.make_graph(nodes, "forged", [*inputs, *parts.pop("more", [])], [output] if output else [], **parts)
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
    content: bytes = helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString()
    return content


def _scores(shape: tuple[Any, ...] = ("rows", 1), kind: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info("scores", kind, shape)


def _cast(name: str = "age") -> onnx.NodeProto:
    return helper.make_node("Cast", [name], ["scores"], to=TensorProto.FLOAT)


def _other_shape() -> bytes:
    wide = helper.make_node("Concat", ["real"] * 5, ["scores"], axis=1)
    return _model([helper.make_node("Cast", ["age"], ["real"], to=TensorProto.FLOAT), wide], _scores(("rows", 5)))


def _one_row() -> bytes:
    constant = helper.make_node("Constant", [], ["scores"], value_floats=[0.5, 0.5])
    return _model([constant], _scores((2,)))


def _texts() -> bytes:
    return _model([helper.make_node("Identity", ["city"], ["scores"])], _scores(("rows", 1), TensorProto.STRING))


def _sequence() -> bytes:
    made = helper.make_node("SequenceConstruct", ["age"], ["scores"])
    return _model([made], helper.make_tensor_sequence_value_info("scores", TensorProto.DOUBLE, None))


def _foreign_operator() -> bytes:
    node = helper.make_node("Execute", ["age"], ["scores"], domain="evil", command="touch executed")
    return _model([node], _scores())


def _wants_more() -> bytes:
    more = [helper.make_tensor_value_info("years", TensorProto.DOUBLE, ["rows", 1])]
    return _model([_cast("years")], _scores(), more=more)


def _huge_claim() -> bytes:
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1 << 40], raw_data=b"1234")
    return _model([helper.make_node("Add", ["w", "w"], ["scores"])], _scores((1 << 40,)), initializer=[tensor])


def _outside(location: str) -> Callable[[], bytes]:
    def make() -> bytes:
        tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
        tensor.external_data.add(key="location", value=location)
        return _model([helper.make_node("Identity", ["w"], ["scores"])], _scores((1,)), initializer=[tensor])

    return make


def _nested(depth: int) -> Callable[[], bytes]:
    """Graphs in attributes of nodes of graphs, as bytes: no library would write them."""

    def field(number: int, content: bytes) -> bytes:
        size, length = len(content), b""
        while size > 0x7F:
            length, size = length + bytes([size & 0x7F | 0x80]), size >> 7
        return bytes([number << 3 | 2]) + length + bytes([size]) + content

    def make() -> bytes:
        content = field(5, field(13, b"location"))
        for _ in range(depth):
            content = field(1, field(5, field(6, content)))
        return field(7, content)

    return make


def graphs(whole: bytes) -> Iterator[tuple[str, bytes]]:
    """Contents of model.onnx that no command may make a prediction of."""
    yield from {name: content for name, content in NO_JSON.items() if name != "a number"}.items()
    yield "half of it", whole[: len(whole) // 2]
    yield "its first byte flipped", bytes([whole[0] ^ 0x10]) + whole[1:]
    yield "a field of 4 GB", b"\x3a\xff\xff\xff\xff\x0f"
    yield "a field number of 10 bytes", b"\xff" * 10
    yield "ones", b"\xff" * 50
    made: dict[str, Callable[[], bytes]] = {
        "five scores a row": _other_shape,
        "one row whatever comes": _one_row,
        "texts": _texts,
        "a sequence": _sequence,
        "no output": lambda: _model([_cast()], None),
        "an operator of nobody": _foreign_operator,
        "one more input": _wants_more,
        "a weight of a terabyte": _huge_claim,
        "weights outside": _outside("../secret"),
        "weights in /etc": _outside("/etc/passwd"),
        "weights in the bundle": _outside("weights/trees.safetensors"),
        "150 graphs in each other": _nested(150),
        "2,000 graphs in each other": _nested(2000),
    }
    yield from ((name, make()) for name, make in made.items())
