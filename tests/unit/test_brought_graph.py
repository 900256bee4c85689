"""Graphs that others wrote: what is understood of them and of their rows, and what is refused with what to do."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from support_brought import CLASSES, INPUTS, graph, pixel_graph, rows, write_graph, write_images, write_rows

from autoopt.app.brought import prepare_brought
from autoopt.errors import DataError, OptionError
from autoopt.runtime import Session
from autoopt.task import PreparedTask, Snapshot, TaskOptions
from autoopt.task.facts import Kind, Modality

X = rows()


def answers(model: onnx.ModelProto, values: np.ndarray) -> np.ndarray:
    return Session(model.SerializeToString()).run({"X": values})


def prepared(tmp_path: Path, model: onnx.ModelProto, **options: object) -> PreparedTask:
    return prepare_brought(str(write_graph(tmp_path / "model.onnx", model)), TaskOptions(**options))  # type: ignore[arg-type]


def complaints(tmp_path: Path, model: onnx.ModelProto, **options: object) -> str:
    with pytest.raises((DataError, OptionError)) as caught:
        prepared(tmp_path, model, **options)
    return str(caught.value)


# ---- rows of every kind


def test_without_labels_the_graph_itself_is_what_is_right(tmp_path: Path) -> None:
    task = prepared(tmp_path, graph(), rows=write_rows(tmp_path / "rows.npz", X=X))
    facts = task.facts
    assert (facts.modality, facts.kind, facts.metric) == (Modality.GRAPH, Kind.MULTICLASS, "accuracy")
    assert facts.graph is not None
    assert not facts.graph.labelled
    assert facts.graph.scores == "probabilities"
    found = np.concatenate([task.parts[p].tensors[0] for p in ("train", "valid", "test")])
    target = np.concatenate([task.parts[p].target for p in ("train", "valid", "test")])
    assert np.array_equal(answers(graph(), found).argmax(axis=1), target)
    assert sorted(map(tuple, found)) == sorted(map(tuple, X))


def test_labels_are_the_columns_in_sorted_order(tmp_path: Path) -> None:
    names = np.array(["ape", "bee", "cow"])
    truth = answers(graph(), X).argmax(axis=1)
    task = prepared(tmp_path, graph(), rows=write_rows(tmp_path / "rows.npz", X=X, label=names[truth]))
    assert task.facts.classes == ("ape", "bee", "cow")
    assert not task.facts.numeric_classes
    assert task.facts.graph is not None
    assert task.facts.graph.labelled
    numbered = prepared(tmp_path, graph(), rows=write_rows(tmp_path / "n.npz", X=X, y=truth), target="y")
    assert numbered.facts.classes == ("0", "1", "2")
    assert numbered.facts.numeric_classes
    assert numbered.facts.fingerprint != task.facts.fingerprint


def test_a_column_of_scores_for_two_classes_is_their_second(tmp_path: Path) -> None:
    model = graph(columns=1, softmax=False)
    truth = np.where(answers(model, X)[:, 0] > 0, "yes", "no")
    task = prepared(tmp_path, model, rows=write_rows(tmp_path / "rows.npz", X=X, label=truth), metric="roc_auc")
    assert task.facts.kind is Kind.BINARY
    assert task.facts.graph is not None
    assert task.facts.graph.form == "logit"
    assert task.facts.classes == ("no", "yes")


@pytest.mark.parametrize("flat", [False, True])
def test_values_are_judged_by_r2_without_labels_and_by_rmse_with(tmp_path: Path, flat: bool) -> None:
    model = graph(columns=1, softmax=False, flat=flat)
    assert prepared(tmp_path, model, rows=write_rows(tmp_path / "r.npz", X=X)).facts.metric == "r2"
    truth = answers(model, X)[:, 0] + 0.1
    assert prepared(tmp_path, model, rows=write_rows(tmp_path / "l.npz", X=X, label=truth)).facts.metric == "rmse"


def test_a_table_feeds_the_one_input_column_by_column(tmp_path: Path) -> None:
    truth = answers(graph(), X).argmax(axis=1)
    header = ",".join([*(f"c{k}" for k in range(INPUTS)), "kind", "what"])
    lines = [",".join([*map(repr, map(float, row)), "a note", str(k)]) for row, k in zip(X, truth, strict=True)]
    (tmp_path / "rows.csv").write_text("\n".join([header, *lines]) + "\n")
    task = prepared(tmp_path, graph(), rows=tmp_path / "rows.csv", target="what")
    assert task.facts.tensors[0].columns == tuple(f"c{k}" for k in range(INPUTS))
    assert any("'kind'" in warning for warning in task.facts.warnings)
    assert np.allclose(
        sorted(task.parts["train"].tensors[0][:, 0]), sorted(set(X[:, 0]) & set(task.parts["train"].tensors[0][:, 0]))
    )
    assert "takes 8 columns of numbers" in complaints(tmp_path, graph(), rows=tmp_path / "rows.csv")


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_images_become_what_the_graph_takes(tmp_path: Path, layout: str) -> None:
    photos = write_images(tmp_path / "photos")
    task = prepared(tmp_path, pixel_graph(layout=layout), rows=photos, normalize="0.5;0.5")
    (pixels,) = task.facts.tensors
    assert pixels.pixels is not None
    assert pixels.pixels["layout"] == layout
    assert task.facts.raw_form is Modality.IMAGES
    assert task.facts.graph is not None
    assert task.facts.graph.form == "logits"
    assert task.facts.classes == ("blue", "green", "red")  # as columns: blue is called the first, and red lies there
    assert task.parts["train"].tensors[0].dtype == np.uint8


def test_the_snapshot_keeps_the_graph_to_the_byte(tmp_path: Path) -> None:
    task = prepared(tmp_path, graph(), rows=write_rows(tmp_path / "rows.npz", X=X))
    task.save(tmp_path / "snapshot")
    kept = Snapshot.open(tmp_path / "snapshot")
    assert kept.facts == task.facts
    assert kept.graph is not None
    assert kept.graph.read_bytes() == (tmp_path / "model.onnx").read_bytes()
    kept.graph.write_bytes(b"other")
    with pytest.raises(DataError, match="damaged"):
        _ = Snapshot.open(tmp_path / "snapshot").graph


def test_weights_beside_the_file_are_put_inside(tmp_path: Path) -> None:
    model = graph(hidden=256)
    onnx.save(model, tmp_path / "big.onnx", save_as_external_data=True, location="big.bin", size_threshold=64)
    task = prepare_brought(str(tmp_path / "big.onnx"), TaskOptions(rows=write_rows(tmp_path / "rows.npz", X=X)))
    assert any("put inside" in warning for warning in task.facts.warnings)
    (tmp_path / "big.bin").unlink()
    with pytest.raises(DataError, match="weights in other files"):
        prepare_brought(str(tmp_path / "big.onnx"), TaskOptions(rows=tmp_path / "rows.npz"))


def test_a_graph_of_one_row_is_run_row_by_row(tmp_path: Path) -> None:
    one, many = graph(batch=1), graph()
    assert np.allclose(answers(one, X[:5]), answers(many, X[:5]), atol=1e-6)
    assert sum(prepared(tmp_path, one, rows=write_rows(tmp_path / "rows.npz", X=X)).facts.rows.values()) == len(X)


def test_few_rows_are_enough_and_that_is_told(tmp_path: Path) -> None:
    task = prepared(tmp_path, graph(), rows=write_rows(tmp_path / "rows.npz", X=rows(20)))
    assert all(count > 0 for count in task.facts.rows.values())
    assert any("quality is judged on" in warning for warning in task.facts.warnings)


# ---- what is refused


def test_every_array_that_does_not_fit_is_told_at_once(tmp_path: Path) -> None:
    assert "lacks the array 'X'" in complaints(tmp_path, graph(), rows=write_rows(tmp_path / "a.npz", Z=X))
    wrong = write_rows(tmp_path / "b.npz", X=X[:, :5], label=np.zeros(7))
    said = complaints(tmp_path, graph(), rows=wrong)
    assert "'X' is (240, 5)" in said
    assert "differ in their rows" in said
    labels = np.arange(len(X)) % 7
    assert "7 values" in complaints(tmp_path, graph(), rows=write_rows(tmp_path / "c.npz", X=X, label=labels))
    held = write_rows(tmp_path / "d.npz", X=np.array([{"a": 1}], dtype=object))
    assert "cannot be read" in complaints(tmp_path, graph(), rows=held)
    assert "10 are needed" in complaints(tmp_path, graph(), rows=write_rows(tmp_path / "e.npz", X=rows(4)))
    infinite = np.where(np.arange(len(X))[:, None] == 3, np.inf, X).astype(np.float32)
    assert "not finite on 1" in complaints(tmp_path, graph(), rows=write_rows(tmp_path / "f.npz", X=infinite))


def test_old_opsets_name_the_way_to_convert(tmp_path: Path) -> None:
    said = complaints(tmp_path, graph(opset=12), rows=write_rows(tmp_path / "rows.npz", X=X))
    assert "opset 12; 13 or more" in said
    assert "version_converter" in said


def test_other_batches_and_texts_are_refused_together(tmp_path: Path) -> None:
    model = graph(batch=4)
    model.graph.input.append(helper.make_tensor_value_info("words", TensorProto.STRING, ["rows", 1]))
    said = complaints(tmp_path, model, rows=write_rows(tmp_path / "rows.npz", X=X))
    assert "exactly 4 rows at a time" in said
    assert "'words' is texts" in said


def test_a_sequence_of_maps_is_refused_with_its_remedy(tmp_path: Path) -> None:
    zipped = helper.make_node("ZipMap", ["probabilities"], ["maps"], domain="ai.onnx.ml", classlabels_int64s=[0, 1, 2])
    model = graph()
    model.graph.node.append(zipped)
    model.opset_import.append(helper.make_opsetid("ai.onnx.ml", 1))
    kind = helper.make_map_type_proto(TensorProto.INT64, helper.make_tensor_type_proto(TensorProto.FLOAT, []))
    del model.graph.output[1]
    model.graph.output.append(helper.make_value_info("maps", helper.make_sequence_type_proto(kind)))
    assert "zipmap" in complaints(tmp_path, model, rows=write_rows(tmp_path / "rows.npz", X=X))


def test_operators_of_others_are_told_as_the_runtime_does(tmp_path: Path) -> None:
    model = graph()
    model.graph.node[2].op_type, model.graph.node[2].domain = "Sparkle", "my.company"
    model.opset_import.append(helper.make_opsetid("my.company", 1))
    said = complaints(tmp_path, model, rows=write_rows(tmp_path / "rows.npz", X=X))
    assert "cannot be loaded by onnxruntime" in said
    assert "Sparkle" in said


@pytest.mark.parametrize("content", [b"", b"not a graph", b"\x08\x07" * 40])
def test_no_graph_at_all(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.onnx").write_bytes(content)
    with pytest.raises(DataError, match=r"no ONNX file|no valid ONNX"):
        prepare_brought(str(tmp_path / "model.onnx"), TaskOptions(rows=write_rows(tmp_path / "rows.npz", X=X)))


def test_both_files_are_missed_at_once(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        prepare_brought(str(tmp_path / "no.onnx"), TaskOptions(rows=tmp_path / "no.npz"))
    assert len(caught.value.problems) == 2


def test_log_loss_needs_probabilities(tmp_path: Path) -> None:
    truth = np.arange(len(X)) % CLASSES
    given = write_rows(tmp_path / "rows.npz", X=X, label=truth)
    assert "log_loss" in complaints(tmp_path, graph(softmax=False), rows=given, metric="log_loss")
    assert prepared(tmp_path, graph(), rows=given, metric="log_loss").facts.metric == "log_loss"


@pytest.mark.parametrize("text", ["fine", "1,2;3", "0;0", "nan;1"])
def test_normalizations_that_cannot_be(tmp_path: Path, text: str) -> None:
    photos = write_images(tmp_path / "photos", count=4)
    assert "--normalize" in complaints(tmp_path, pixel_graph(), rows=photos, normalize=text)
