"""Forms of a graph that somebody brought: they take its place, and the file itself stays what it was to the byte."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from support_brought import graph, pixel_graph, rows, write_graph, write_images, write_rows
from support_stages import Place

from autoopt.app.brought import prepare_brought
from autoopt.errors import SpaceError, StageFailure
from autoopt.files import Store
from autoopt.files.pictures import as_input
from autoopt.runtime import Front, Predictor, Session
from autoopt.space import load_space, pin, restrict
from autoopt.space.domains import Whole
from autoopt.stages.front import front_of
from autoopt.stages.keys import DEPLOY
from autoopt.strategies import Quantize, applies_reason, catalogue
from autoopt.strategies.deploying.brought import BroughtArtifact, int8_nodes, why_not
from autoopt.strategies.deploying.tidied import tidied
from autoopt.task import PreparedTask, TaskOptions
from autoopt.values import Slot

X = rows()


def placed(tmp_path: Path, task: PreparedTask) -> Place:
    task.save(tmp_path / "snapshot")
    (tmp_path / "store").mkdir(exist_ok=True)
    return Place(snapshot=str(tmp_path / "snapshot"), store=str(tmp_path / "store"))


def task_of(tmp_path: Path, model: onnx.ModelProto, **arrays: np.ndarray) -> PreparedTask:
    given = write_rows(tmp_path / "rows.npz", **arrays)
    return prepare_brought(str(write_graph(tmp_path / "model.onnx", model)), TaskOptions(rows=given))


def deployed(place: Place, key: str) -> bytes:
    entry = Store(Path(place.store)).find(DEPLOY, key)
    assert entry is not None
    return (entry.path / "model.onnx").read_bytes()


def signature(content: bytes) -> list[str]:
    found = onnx.load_model_from_string(content).graph
    return [v.SerializeToString(deterministic=True).hex() for v in (*found.input, *found.output)]


@pytest.mark.parametrize("batch", ["rows", 1])
def test_each_form_takes_the_place_of_the_graph(tmp_path: Path, batch: int | str) -> None:
    place = placed(tmp_path, task_of(tmp_path, graph(batch=batch, hidden=128), X=X))
    own = (tmp_path / "model.onnx").read_bytes()
    float_one = place.evaluate({"model": "brought", "quantize": "none"})
    assert deployed(place, float_one.artifact_key) == own
    assert float_one.measures["quality"].value == 1.0
    assert float_one.measures["quality_drop"].value == 0.0
    for form in ("static_int8", "dynamic_int8", "fp16"):
        made = place.evaluate({"model": "brought", "quantize": form})
        content = deployed(place, made.artifact_key)
        assert signature(content) == signature(own)
        assert made.measures["size_bytes"].value == len(content) < 0.8 * len(own)
        quality, drop = made.measures["quality"].value, made.measures["quality_drop"].value
        assert quality > 0.9
        assert drop == pytest.approx(100 * (1 - quality))
        assert Session(content).run_all({"X": X[:1]}).keys() == {"label", "probabilities"}


def test_products_with_biases_are_computed_in_integers(tmp_path: Path) -> None:
    """Left as MatMul and Add, which the runtime fuses by itself, they would be unpacked at every call."""
    place = placed(tmp_path, task_of(tmp_path, graph(), X=X))
    content = deployed(place, place.evaluate({"model": "brought", "quantize": "static_int8"}).artifact_key)
    kinds = [n.op_type for n in onnx.load_model_from_string(content).graph.node]
    assert kinds.count("Gemm") == 2
    assert "MatMul" not in kinds


def test_tidying_changes_no_number_and_leaves_shared_products_alone() -> None:
    model = graph()
    model.graph.output.append(onnx.helper.make_tensor_value_info("m1", onnx.TensorProto.FLOAT, ["rows", 3]))
    for node in model.graph.node:
        node.doc_string = "where it came from"
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    tidied(changed)
    assert [n.op_type for n in changed.graph.node if n.op_type in ("Gemm", "MatMul")] == ["Gemm", "MatMul"]
    names = [n.name for n in changed.graph.node]
    assert len(set(names)) == len(names)
    assert all(names)
    assert not any(n.doc_string for n in changed.graph.node)
    before, after = (Session(m.SerializeToString()).run_all({"X": X}) for m in (model, changed))
    assert all(np.allclose(before[name], after[name], atol=1e-6) for name in before)


def test_a_convolution_takes_its_bias_in() -> None:
    model = pixel_graph()
    bias = onnx.numpy_helper.from_array(np.array([1, 2, 3], dtype=np.float32).reshape(1, 3, 1, 1), "bias")
    model.graph.initializer.append(bias)
    first = model.graph.node[0]
    first.output[0] = "product"
    model.graph.node.insert(1, onnx.helper.make_node("Add", ["product", "bias"], ["convolved"]))
    pixels = np.random.default_rng(0).normal(size=(4, 3, 8, 8)).astype(np.float32)
    before = Session(model.SerializeToString()).run({"pixels": pixels})
    changed = tidied(model)
    assert [n.op_type for n in changed.graph.node] == ["Conv", "GlobalAveragePool", "Flatten"]
    assert np.allclose(Session(changed.SerializeToString()).run({"pixels": pixels}), before, atol=1e-6)


def test_images_reach_calibration_and_measuring_as_the_graph_takes_them(tmp_path: Path) -> None:
    photos = write_images(tmp_path / "photos")
    options = TaskOptions(rows=photos, normalize="0.4;0.3")
    task = prepare_brought(str(write_graph(tmp_path / "model.onnx", pixel_graph())), options)
    place = placed(tmp_path, task)
    made = place.evaluate({"model": "brought", "quantize": "static_int8"})
    assert abs(made.measures["quality_drop"].value) < 10
    front = Front.parse(front_of(task.facts))
    pixels = task.parts["valid"].tensors[0]
    predictor = Predictor(Session((tmp_path / "model.onnx").read_bytes()), front)
    form = task.facts.tensors[0].pixels
    assert form is not None
    fed = as_input(pixels, form)
    assert fed.shape == (len(pixels), 3, 8, 8)
    assert np.allclose(fed[0, 1, 2, 3], (pixels[0, 2, 3, 1] / 255 - 0.4) / 0.3)
    assert np.allclose(predictor.scores({"pixels": pixels}), fed.mean(axis=(2, 3)), atol=1e-5)


def test_one_column_is_read_as_two_classes_wherever_it_is_predicted(tmp_path: Path) -> None:
    model = graph(columns=1, softmax=False)
    own = Session(model.SerializeToString()).run({"X": X})[:, 0]
    task = task_of(tmp_path, model, X=X, label=np.where(own > 0, "yes", "no"))
    front = Front.parse(front_of(task.facts))
    assert front.form == "logit"
    assert Front.parse(front.to_json()) == front
    found = Predictor(Session(model.SerializeToString()), front).predict({"X": X})
    assert np.array_equal(found == "yes", own > 0)


def test_columns_of_a_table_feed_the_input_again(tmp_path: Path) -> None:
    lines = [",".join(f"c{k}" for k in range(8)), *(",".join(map(repr, map(float, row))) for row in X)]
    (tmp_path / "rows.csv").write_text("\n".join(lines) + "\n")
    options = TaskOptions(rows=tmp_path / "rows.csv")
    task = prepare_brought(str(write_graph(tmp_path / "model.onnx")), options)
    front = Front.parse(front_of(task.facts))
    fed = front.feed({f"c{k}": X[:, k] for k in range(8)})
    assert np.array_equal(fed["X"], X)
    assert np.array_equal(front.feed({"X": X})["X"], X)


def test_what_does_not_fit_a_graph_is_said(tmp_path: Path) -> None:
    facts = task_of(
        tmp_path, pixel_graph(), pixels=np.zeros((30, 3, 8, 8), np.float32) + rows(30)[:, :3, None, None]
    ).facts
    assert facts.graph is not None
    assert "dynamic convolutions" in str(why_not("dynamic_int8", facts.graph))
    assert "no trees" in str(why_not("compact", facts.graph))
    assert why_not("static_int8", facts.graph) is None
    other = Quantize.value_applies("static_int8", facts, Slot(index=0))
    assert other is None


def test_forms_with_every_product_in_float_are_left_out_before_any_trial(tmp_path: Path) -> None:
    facts = task_of(tmp_path, graph(), X=X).facts
    assert facts.graph is not None
    assert int8_nodes(facts.graph) == 2
    space = restrict(load_space("graph", catalogue()), applies_reason(facts, Slot(index=0)))
    kept = {recipe["quantize.keep_float"] for recipe in space.portfolio if "quantize.keep_float" in recipe}
    assert kept == {0, 1}
    assert [d.domain for d in space.dimensions if d.name == "quantize.keep_float"] == [Whole(low=0, high=1)]
    asked = pin(load_space("graph", catalogue()), ["quantize.keep_float=2"], catalogue())
    with pytest.raises(SpaceError, match="2: it has 2 products and convolutions: none would be in int8"):
        restrict(asked, applies_reason(facts, Slot(index=0)))


def test_a_graph_in_half_precision_is_left_as_it_is(tmp_path: Path) -> None:
    model = graph()
    for tensor in model.graph.initializer:
        halved = onnx.numpy_helper.to_array(tensor).astype(np.float16)
        tensor.CopyFrom(onnx.numpy_helper.from_array(halved, tensor.name))
    for value in (model.graph.input[0], model.graph.output[1]):
        value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT16
    facts = task_of(tmp_path, model, X=X).facts
    assert facts.graph is not None
    assert facts.tensors[0].dtype == "float16"
    assert "float32 weights" in str(why_not("static_int8", facts.graph))


def test_a_form_with_other_outputs_is_no_form_of_it() -> None:
    made = graph()
    del made.graph.output[0]
    with pytest.raises(StageFailure, match="inputs or outputs would be other"):
        BroughtArtifact(content=graph().SerializeToString()).drop_in(made)
