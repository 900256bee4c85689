"""Whether a graph points at files beside itself: told from its bytes, without looking into what cannot hold it."""

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from autoopt.runtime.external import has_external_data


def graph(name: str = "x") -> onnx.ModelProto:
    """One that adds a constant; `name` is its input's."""
    node = helper.make_node("Add", [name, "one"], ["y"], name="location of the sum")
    edges = [helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, ["rows", 1]) for n in (name, "y")]
    one = numpy_helper.from_array(np.ones(1, np.float32), "one")
    return helper.make_model(helper.make_graph([node], "location", edges[:1], edges[1:], [one]))


def outside(key: str = "location") -> onnx.TensorProto:
    tensor = onnx.TensorProto(name="two", data_type=onnx.TensorProto.FLOAT, dims=[1])
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key=key, value="weights.bin")
    return tensor


def test_the_word_alone_is_no_file() -> None:
    assert not has_external_data(graph("location").SerializeToString())


def test_a_tensor_that_names_a_file_is_found_among_others() -> None:
    model = graph("location")
    model.graph.initializer.append(outside())
    assert has_external_data(model.SerializeToString())


def test_a_file_named_deep_inside_is_found() -> None:
    inner = onnx.GraphProto(name="inner", node=[helper.make_node("Constant", [], ["w"], value=outside())])
    model = graph()
    model.graph.node.append(helper.make_node("If", ["c"], ["w"], then_branch=inner, else_branch=inner))
    model.functions.append(onnx.FunctionProto(name="f", domain="d", node=[model.graph.node[-1]]))
    del model.graph.node[-1]
    assert has_external_data(model.SerializeToString())


def test_a_sparse_tensor_that_names_a_file_is_found() -> None:
    model = graph()
    model.graph.sparse_initializer.append(onnx.SparseTensorProto(values=outside(), dims=[1]))
    assert has_external_data(model.SerializeToString())


@pytest.mark.parametrize("content", [b"\xff" * 20, b"\x07", graph().SerializeToString()[:-1]])
def test_what_is_no_model_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match="file"):
        has_external_data(content)
