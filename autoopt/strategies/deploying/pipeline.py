"""A whole pipeline, cut behind its preprocessing: what the model makes of features is quantized, what comes before not.

A rounded scale or projection of preprocessing would move every feature, and the quantizer knows no texts.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from autoopt.errors import StageFailure
from autoopt.runtime import Session
from autoopt.strategies.model import Prepared
from autoopt.task.graph.preprocessing import model_nodes
from autoopt.values import FailureReason

_COPY: Final = "/prepare"
"""Behind the name of a constant that both halves read."""


@final
@dataclass(frozen=True, kw_only=True)
class ModelRows(Prepared):
    """Rows as a pipeline's model takes them: what its preprocessing gives."""

    raw: Prepared
    preprocessing: Session

    @property
    def rows(self) -> int:
        return self.raw.rows

    def model_feed(self, chosen: NDArray[np.int64] | slice) -> dict[str, NDArray[Any]]:
        feed = self.raw.model_feed(chosen)
        read = {name: feed[name] for name in self.preprocessing.inputs}
        return {**feed, **self.preprocessing.run_all(read)}


@final
class Pipeline:
    """A graph in two halves; without preprocessing it is all the model's."""

    def __init__(self, whole: onnx.ModelProto) -> None:
        self._whole = whole
        behind = {node.output[0] for node in model_nodes(whole)}
        self._before = [node for node in whole.graph.node if node.output[0] not in behind]
        self._behind = [node for node in whole.graph.node if node.output[0] in behind]

    @cached_property
    def _cut(self) -> list[str]:
        """Names of what the model reads of the preprocessing."""
        made = [name for node in self._before for name in node.output]
        read = {name for node in self._behind for name in node.input}
        return [name for name in made if name in read]

    def rows(self, raw: Prepared) -> Prepared:
        """What the model takes, where `raw` is what the whole graph takes. Raises StageFailure."""
        return raw if not self._before else ModelRows(raw=raw, preprocessing=Session(self._preprocessing()))

    def model(self, rows: Prepared) -> onnx.ModelProto:
        """The model alone; `rows`: as `rows` gives them, at least one."""
        if not self._before:
            return self._whole
        first = rows.model_feed(np.arange(1))
        inputs = [self._given(name, first[name]) for name in self._cut]
        return self._half(self._behind, inputs, list(self._whole.graph.output))

    def joined(self, model: onnx.ModelProto) -> onnx.ModelProto:
        """The preprocessing as it was, and behind it what was made of the model. Raises StageFailure."""
        if not self._before:
            return model
        joined = onnx.ModelProto()
        joined.CopyFrom(model)
        graph = joined.graph
        nodes, constants = list(graph.node), {i.name for i in graph.initializer}
        del graph.node[:], graph.input[:], graph.value_info[:]
        for node in self._before:
            added = graph.node.add()
            added.CopyFrom(node)
            added.input[:] = [name + _COPY if name in constants else name for name in node.input]
        graph.node.extend(nodes)
        graph.input.extend(self._whole.graph.input)
        for constant in self._constants(self._before):
            added_constant = graph.initializer.add()
            added_constant.CopyFrom(constant)
            added_constant.name += _COPY if constant.name in constants else ""
        versions = {o.domain: o.version for o in joined.opset_import}
        joined.opset_import.extend(o for o in self._whole.opset_import if o.domain not in versions)
        try:
            onnx.checker.check_model(joined, full_check=True)
        except onnx.checker.ValidationError as error:
            message = f"The graph of the whole pipeline is not valid ONNX: {str(error).splitlines()[0]}."
            raise StageFailure(FailureReason.ERROR, message) from error
        return joined

    def _preprocessing(self) -> bytes:
        outputs = [onnx.ValueInfoProto(name=name) for name in self._cut]  # the runtime knows their types
        half = self._half(self._before, list(self._whole.graph.input), outputs)
        content: bytes = half.SerializeToString()
        return content

    def _half(
        self, nodes: list[onnx.NodeProto], inputs: list[onnx.ValueInfoProto], outputs: list[onnx.ValueInfoProto]
    ) -> onnx.ModelProto:
        read = {name for node in nodes for name in node.input}
        half = onnx.ModelProto(ir_version=self._whole.ir_version, producer_name=self._whole.producer_name)
        half.opset_import.extend(self._whole.opset_import)
        half.graph.name = self._whole.graph.name
        half.graph.node.extend(nodes)
        half.graph.initializer.extend(self._constants(nodes))
        half.graph.input.extend(value for value in inputs if value.name in read)
        half.graph.output.extend(outputs)
        half.functions.extend(self._whole.functions)
        return half

    def _constants(self, nodes: list[onnx.NodeProto]) -> list[onnx.TensorProto]:
        read = {name for node in nodes for name in node.input}
        return [constant for constant in self._whole.graph.initializer if constant.name in read]

    @staticmethod
    def _given(name: str, values: NDArray[Any]) -> onnx.ValueInfoProto:
        element = helper.np_dtype_to_tensor_dtype(values.dtype)
        return helper.make_tensor_value_info(name, element, ["rows", *values.shape[1:]])
