"""Build ONNX graphs with unique names: nodes one after another, constants shared, opsets and IR version pinned.

    graph = GraphBuilder("mlp")
    x = graph.input(FEATURES, np.float32, ("rows", 30))
    hidden = graph.add("Gemm", x, graph.constant(weight), graph.constant(bias), transB=1)
    graph.output(SCORES, graph.add("Relu", hidden), np.float32, ("rows", 3))
    model = graph.build()

Declare the inputs first: names of inner values step aside for them, never the other way round.
"""

from collections.abc import Sequence
from typing import Any, final

import numpy as np
import onnx
from numpy.typing import DTypeLike, NDArray
from onnx import TensorProto, helper, numpy_helper

from autoopt.strategies.model import IR_VERSION, ML_OPSET, OPSET
from autoopt.task.graph.preprocessing import PRODUCER

ML_DOMAIN = "ai.onnx.ml"
RUNTIME_DOMAIN = "com.microsoft"
"""Operators of onnxruntime's own: for texts there is no other way."""
_STRING_KINDS = "OUS"

Dims = Sequence[int | str]
"""A shape; a text is a free dimension, 'rows' by convention."""


@final
class GraphBuilder:
    """One graph under construction. Values are known by their names, which every method gives back."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._names: set[str] = set()
        self._counters: dict[str, int] = {}
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._initializers: list[onnx.TensorProto] = []
        self._domains: set[str] = set()

    def input(self, name: str, dtype: DTypeLike, dims: Dims) -> str:
        """A graph input with exactly this name. Raises ValueError when an input or inner value has it already."""
        self._take(name)
        self._inputs.append(helper.make_tensor_value_info(name, element_type(dtype), list(dims)))
        return name

    def constant(self, values: object, dtype: DTypeLike | None = None, *, name: str = "constant") -> str:
        """An initializer; equal content of equal type and shape is stored once. Text becomes a string tensor."""
        array = np.asarray(values, dtype=dtype)
        if array.dtype.kind in _STRING_KINDS:
            array = array.astype(object)
            content = b"".join(len(t := str(v).encode()).to_bytes(8, "little") + t for v in array.ravel())
        else:
            content = np.ascontiguousarray(array).tobytes()
        key = (str(array.dtype), array.shape, content)
        if key not in self._constants:
            self._constants[key] = self.fresh(name)
            self._initializers.append(tensor(array, self._constants[key]))
        return self._constants[key]

    def add(self, op: str, *inputs: str, domain: str = "", name: str = "", **attributes: Any) -> str:
        """A node with one output, whose name is given back. An empty input name is a left-out optional input.

        `name` is a wish for the output's name; a number is put behind it where it is taken. Attributes of None are
        left out.
        """
        return self.add_many(op, *inputs, outputs=1, domain=domain, name=name, **attributes)[0]

    def add_many(
        self, op: str, *inputs: str, outputs: int, domain: str = "", name: str = "", **attributes: Any
    ) -> tuple[str, ...]:
        """The same for a node with several outputs (Split, TopK, TreeEnsembleClassifier)."""
        names = tuple(self.fresh(name or op.lower()) for _ in range(outputs))
        given = {k: v for k, v in attributes.items() if v is not None}
        node = helper.make_node(op, list(inputs), list(names), name=f"{op}:{names[0]}", domain=domain, **given)
        self._nodes.append(node)
        self._domains.add(domain)
        return names

    def ml(self, op: str, *inputs: str, name: str = "", **attributes: Any) -> str:
        """A node of `ai.onnx.ml` with one output."""
        return self.add(op, *inputs, domain=ML_DOMAIN, name=name, **attributes)

    def output(self, name: str, value: str, dtype: DTypeLike, dims: Dims) -> str:
        """Make a value a graph output with exactly this name; inner values of that name step aside.

        Raises ValueError when an input or another output has the name.
        """
        edge = {v.name for v in (*self._inputs, *self._outputs)}
        if name in edge or not name:
            raise ValueError(f"graph {self._name!r}: {name!r} cannot name an output, it is taken or empty")
        if value != name:
            if name in self._names:
                self._rename(name, self.fresh(name))
            if value in edge or not any(value in n.output for n in self._nodes):
                self._nodes.append(helper.make_node("Identity", [value], [name], name=f"Identity:{name}"))
            else:
                self._rename(value, name)  # saves the Identity node
            self._names.add(name)
        self._outputs.append(helper.make_tensor_value_info(name, element_type(dtype), list(dims)))
        return name

    def fresh(self, wish: str) -> str:
        """A name that nothing in this graph has yet."""
        name = wish
        while name in self._names:
            self._counters[wish] = self._counters.get(wish, 0) + 1
            name = f"{wish}_{self._counters[wish]}"
        self._names.add(name)
        return name

    def build(self) -> onnx.ModelProto:
        """The model, checked (with shape inference). Raises onnx.checker.ValidationError when it does not hold up."""
        graph = helper.make_graph(self._nodes, self._name, self._inputs, self._outputs, self._initializers)
        opsets = [helper.make_opsetid("", OPSET)]
        if ML_DOMAIN in self._domains:
            opsets.append(helper.make_opsetid(ML_DOMAIN, ML_OPSET))
        if RUNTIME_DOMAIN in self._domains:
            opsets.append(helper.make_opsetid(RUNTIME_DOMAIN, 1))
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name=PRODUCER)
        onnx.checker.check_model(model, full_check=True)
        return model

    def _take(self, name: str) -> None:
        if not name or name in self._names:
            raise ValueError(f"graph {self._name!r} has {name!r} already" if name else "an ONNX name cannot be empty")
        self._names.add(name)

    def _rename(self, old: str, new: str) -> None:
        for node in self._nodes:
            node.input[:] = [new if v == old else v for v in node.input]
            node.output[:] = [new if v == old else v for v in node.output]
        for constant in self._initializers:
            constant.name = new if constant.name == old else constant.name
        self._constants = {key: new if held == old else held for key, held in self._constants.items()}


def element_type(dtype: DTypeLike) -> int:
    """The ONNX element type of a numpy type; `str` and `object` are strings."""
    wanted = np.dtype(dtype)
    if wanted.kind in _STRING_KINDS:
        return int(TensorProto.STRING)
    return int(helper.np_dtype_to_tensor_dtype(wanted))


def tensor(values: NDArray[Any], name: str) -> onnx.TensorProto:
    """An array as a TensorProto; object arrays hold text."""
    if values.dtype.kind in _STRING_KINDS:
        encoded = [str(v).encode() for v in values.ravel()]
        return helper.make_tensor(name, TensorProto.STRING, values.shape, encoded)
    return numpy_helper.from_array(values, name)


def drop_notes(model: onnx.ModelProto) -> None:
    """Drop, in place, what exporters tell about each node: it can be a tenth of the bytes, and nothing reads it."""
    model.doc_string = model.graph.doc_string = ""
    for leftover in (model.graph.metadata_props, model.graph.value_info):
        del leftover[:]
    for node in model.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
