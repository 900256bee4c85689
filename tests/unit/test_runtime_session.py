"""Sessions, predictors, the MLflow loader and timing."""

import hashlib
import itertools
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pytest
from numpy.typing import NDArray
from onnx import helper

from autoopt.errors import BundleError, DataError
from autoopt.runtime import Front, Predictor, Session, front_json, latency, reference_call, reference_session
from autoopt.runtime.external import has_external_data
from autoopt.runtime.pyfunc import _load_pyfunc
from autoopt.strategies.graph import GraphBuilder

FRONT = front_json(
    number_columns=["x"], category_columns=[], kind="binary", classes=["n", "y"], numeric_classes=False, target="t"
)


def two_class_graph(shift: float = 0.0) -> bytes:
    """Probability of 'y' is sigmoid(x + shift)."""
    graph = GraphBuilder("two")
    x = graph.add("Cast", graph.input("x", np.float64, ("rows", 1)), to=onnx.TensorProto.FLOAT)
    yes = graph.add("Sigmoid", graph.add("Add", x, graph.constant(shift, np.float32)))
    no = graph.add("Sub", graph.constant(1.0, np.float32), yes)
    graph.output("scores", graph.add("Concat", no, yes, axis=1), np.float32, ("rows", 2))
    return graph.build().SerializeToString()


def predictor(batch_rows: int = 8192) -> Predictor:
    return Predictor(Session(two_class_graph()), Front.parse(FRONT), batch_rows=batch_rows)


def bundle(folder: Path, manifest: object = None) -> Path:
    (folder / "front.json").write_text(json.dumps(FRONT))
    (folder / "model.onnx").write_bytes(two_class_graph())
    (folder / "model.quantized.onnx").write_bytes(two_class_graph(100.0))
    if manifest is not None:
        (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def test_the_runtime_needs_numpy_and_onnxruntime_only() -> None:
    heavy = ("torch", "sklearn", "pandas", "onnx", "scipy", "mlflow", "optuna", "lightgbm", "pyarrow", "sqlalchemy")
    program = (
        "import sys, autoopt.runtime, autoopt.runtime.pyfunc, numpy as np\n"
        "from autoopt.runtime import reference_call, Front, front_json\n"
        "reference_call()()\n"
        "front = front_json(number_columns=['a'], category_columns=['b'], kind='regression', classes=[],"
        " numeric_classes=False, target='t')\n"
        "Front.parse(front).feed({'a': [1], 'b': ['x']})\n"
        f"print([m for m in {heavy!r} if m in sys.modules])\n"
        "own = {m.split('.')[1] for m in sys.modules if m.startswith('autoopt.')}\n"
        "print(sorted(own - {'runtime', 'errors'}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["[]", "[]"]
    assert done.stderr == ""


def test_run_gives_scores_and_run_all_every_output() -> None:
    session = Session(two_class_graph())
    assert session.inputs == ("x",)
    assert session.run({"x": np.zeros((3, 1))}).tolist() == [[0.5, 0.5]] * 3
    assert list(session.run_all({"x": np.zeros((1, 1))})) == ["scores"]


def test_from_a_path(tmp_path: Path) -> None:
    path = tmp_path / "größe.onnx"
    path.write_bytes(two_class_graph())
    assert Session(path, threads=2).run({"x": np.zeros((1, 1))}).shape == (1, 2)


@pytest.mark.parametrize("content", [b"", b"not a graph", two_class_graph()[:-7], b"\xff" * 40])
def test_damaged_graphs_are_told_in_one_line(content: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(BundleError) as caught:
        Session(content)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="cannot be read"):
        Session(tmp_path / "none.onnx")


@pytest.mark.parametrize("feed", [{}, {"x": np.zeros((1, 1), np.float32)}, {"x": np.zeros((1, 3))}, {"z": np.zeros(1)}])
def test_a_feed_that_does_not_fit(feed: Mapping[str, NDArray[Any]], capfd: pytest.CaptureFixture[str]) -> None:
    session = Session(two_class_graph())
    with pytest.raises(BundleError, match="did not run"):
        session.run(feed)
    assert capfd.readouterr() == ("", "")


def external_tensor() -> onnx.TensorProto:
    outside = onnx.TensorProto(name="w", data_type=onnx.TensorProto.FLOAT, dims=[1])
    outside.data_location = onnx.TensorProto.EXTERNAL
    outside.external_data.add(key="location", value="../secret.bin")
    return outside


def hidden_in_initializer(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(external_tensor())


def hidden_in_attribute(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("Constant", [], ["w"], value=external_tensor()))


def hidden_in_subgraph(model: onnx.ModelProto) -> None:
    inner = onnx.GraphProto(name="inner", initializer=[external_tensor()])
    model.graph.node.append(helper.make_node("If", ["c"], ["w"], then_branch=inner, else_branch=inner))


def hidden_in_function(model: onnx.ModelProto) -> None:
    node = helper.make_node("Constant", [], ["w"], value=external_tensor())
    model.functions.append(onnx.FunctionProto(name="f", domain="d", node=[node]))


@pytest.mark.parametrize(
    "hide",
    [hidden_in_initializer, hidden_in_attribute, hidden_in_subgraph, hidden_in_function],
    ids=lambda f: f.__name__,
)
def test_weights_in_other_files_are_refused(hide: Any) -> None:
    model = onnx.load_from_string(two_class_graph())
    assert not has_external_data(model.SerializeToString())
    hide(model)
    with pytest.raises(BundleError, match="other files"):
        Session(model.SerializeToString())


def test_predictions_do_not_hang_on_the_batch() -> None:
    values = np.linspace(-3, 3, 50)
    whole, small = predictor().scores({"x": values}), predictor(batch_rows=7).scores({"x": values})
    np.testing.assert_array_equal(whole, small)
    assert whole.dtype == np.float64
    assert predictor(7).predict({"x": values}).tolist() == ["n"] * 25 + ["y"] * 25


def test_no_rows_no_predictions() -> None:
    assert predictor().scores({"x": []}).shape == (0, 2)
    assert predictor().predict({"x": []}).tolist() == []


def test_missing_columns_reach_the_user() -> None:
    with pytest.raises(DataError, match="'x'"):
        predictor().predict({"y": [1]})


def test_a_bundle_predicts_with_the_chosen_graph(tmp_path: Path) -> None:
    names = {"float": "model.onnx", "quantized": "model.quantized.onnx"}
    bundle(tmp_path)
    artifacts = [
        {"role": role, "path": name, "sha256": hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()}
        for role, name in names.items()
    ]
    bundle(tmp_path, {"artifacts": artifacts, "chosen": "quantized"})
    assert Predictor.load(tmp_path).predict({"x": [-5.0]}).tolist() == ["y"]
    assert Predictor.load(tmp_path, graph="model.onnx").predict({"x": [-5.0]}).tolist() == ["n"]


def test_a_graph_that_was_exchanged_is_not_loaded(tmp_path: Path) -> None:
    bundle(tmp_path, {"artifacts": [{"role": "float", "path": "model.onnx", "sha256": "0" * 64}], "chosen": "float"})
    with pytest.raises(BundleError, match="hash differs"):
        Predictor.load(tmp_path)


@pytest.mark.parametrize(
    "manifest",
    [{}, [], {"artifacts": [], "chosen": "float"}, {"artifacts": [{"role": "f", "path": "../m.onnx"}], "chosen": "f"}],
)
def test_a_damaged_manifest(tmp_path: Path, manifest: object) -> None:
    bundle(tmp_path, manifest)
    with pytest.raises(BundleError, match="Export again"):
        Predictor.load(tmp_path)


def test_mlflows_hook_takes_and_gives_frames(tmp_path: Path) -> None:
    model = _load_pyfunc(str(bundle(tmp_path)))
    found = model.predict(pd.DataFrame({"x": [-1.0, 1.0], "more": ["a", "b"]}, index=[5, 9]))
    assert found.columns.tolist() == ["prediction", "probability_n", "probability_y"]
    assert found.index.tolist() == [5, 9]
    assert found["prediction"].tolist() == ["n", "y"]
    assert model.predict({"x": [1.0]}).index.tolist() == [0]


def test_the_reference_graph_is_what_its_script_writes(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    script = root / "scripts" / "make_reference_graph.py"
    subprocess.run([sys.executable, str(script), str(tmp_path / "again.onnx")], check=True, cwd=root)
    stored = onnx.load(root / "autoopt" / "runtime" / "reference.onnx")
    assert stored == onnx.load(tmp_path / "again.onnx")
    scores = reference_session().run({"features": np.ones((3, 64), np.float32)})
    assert scores.shape == (3, 10)
    np.testing.assert_allclose(scores.sum(axis=1), 1.0, rtol=1e-5)
    assert scores.std() > 1e-4


def test_timing_takes_turns_and_counts_every_call() -> None:
    order: list[str] = []
    slow = itertools.count()

    def quick() -> None:
        order.append("quick")

    def long() -> None:
        order.append("long")
        sum(next(slow) for _ in range(20_000))

    found = latency({"quick": quick, "long": long}, seconds=0.3)
    assert set(found) == {"quick", "long"}
    assert found["quick"].p50_ms < found["long"].p50_ms
    for name, took in found.items():
        assert 0 < took.low_ms <= took.high_ms
        assert took.low_ms <= took.p50_ms <= max(took.p95_ms, took.high_ms)
        assert 3 <= took.calls <= order.count(name)
    turns = [name for name, _ in itertools.groupby(order)]
    assert len(turns) > 6  # they alternate, and not one after the other


def test_timing_measures_even_without_time() -> None:
    assert latency({"a": reference_call()}, seconds=0.0)["a"].calls >= 3


def test_timing_leaves_the_garbage_collector_as_it_was_when_a_call_fails() -> None:
    import gc

    def fails() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        latency({"a": fails}, seconds=0.1)
    assert gc.isenabled()
    with pytest.raises(ValueError, match="nothing"):
        latency({}, seconds=1.0)
