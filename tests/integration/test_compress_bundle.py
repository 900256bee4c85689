"""`autoopt compress BUNDLE/ --data ROWS`: rows as raw as the training data, a bundle that takes the very same ones."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import pytest
from support_bundle import contents_of, make_bundle, seal_again
from support_cli import run_here
from support_images import write_classes
from support_modalities import (
    CLASSES,
    facts_of,
    hand_made,
    image_task,
    part_of,
    scored,
    tensor_graph,
    tensor_task,
    text_graph,
    text_task,
)
from support_stages import Place, mixed_frame

from autoopt.app.brought import trained_already
from autoopt.app.bundled import prepare_bundled
from autoopt.app.compressing import compress_options
from autoopt.bundle import load_bundle, write_bundle
from autoopt.errors import DataError, OptionError
from autoopt.files import Store
from autoopt.stages.keys import DEPLOY
from autoopt.strategies import Quantize
from autoopt.strategies.deploying.pipeline import Pipeline
from autoopt.strategies.graph import GraphBuilder
from autoopt.strategies.model import Features
from autoopt.task import PreparedTask, Snapshot, TaskOptions
from autoopt.task.facts import ColumnFacts, Kind, Modality, Role, TaskFacts
from autoopt.task.graph.preprocessing import is_preprocessing
from autoopt.task.snapshot import Part
from autoopt.values import Slot

pytestmark = pytest.mark.usefixtures("short_timing")

FRAME = mixed_frame(240)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a table: one network behind a projection, which is a product of preprocessing."""
    settings = {"mlp.width": 64, "reduce": "pca", "reduce.share": 0.9, "encode": "onehot"}
    folder = tmp_path_factory.mktemp("network")
    make_bundle(folder, FRAME, "mlp", None, settings)
    return folder


def rows_file(folder: Path, frame: pd.DataFrame = FRAME) -> Path:
    frame.to_csv(folder / "rows.csv", index=False)
    return folder / "rows.csv"


def prepared(bundle: Path, rows: Path, **options: object) -> PreparedTask:
    return prepare_bundled(str(bundle), TaskOptions(rows=rows, **options))  # type: ignore[arg-type]


def placed(folder: Path, task: PreparedTask) -> Place:
    task.save(folder / "snapshot")
    (folder / "store").mkdir()
    return Place(snapshot=str(folder / "snapshot"), store=str(folder / "store"))


def deployed(place: Place, key: str) -> onnx.ModelProto:
    entry = Store(Path(place.store)).find(DEPLOY, key)
    assert entry is not None
    return onnx.load(entry.path / "model.onnx")


def before(model: onnx.ModelProto) -> list[bytes]:
    """Preprocessing: its nodes, and the constants they read."""
    nodes = [node for node in model.graph.node if is_preprocessing(node)]
    read = {name for node in nodes for name in node.input}
    constants = sorted((c for c in model.graph.initializer if c.name in read), key=lambda c: str(c.name))
    return [found.SerializeToString(deterministic=True) for found in (*nodes, *constants)]


def test_search_sends_a_bundle_to_compress(network: Path) -> None:
    found = trained_already(network / "bundle")
    assert found is not None
    assert f"autoopt compress {network / 'bundle'} --data rows.csv" in found.mend
    assert trained_already(network) is None


def test_a_table_is_split_as_its_search_did_and_only_its_network_is_quantized(network: Path, tmp_path: Path) -> None:
    task = prepared(network / "bundle", rows_file(tmp_path))
    own = Snapshot.open(network / "snapshot")
    assert (task.facts.target, task.facts.classes, task.facts.metric) == ("label", ("no", "yes"), own.facts.metric)
    assert task.facts.raw_form is Modality.TABULAR
    for part in ("train", "valid", "test"):
        assert np.array_equal(task.parts[part].target, own.part(part).target)  # type: ignore[arg-type]
        assert np.array_equal(task.parts[part].numbers, own.part(part).numbers, equal_nan=True)  # type: ignore[arg-type]
    place = placed(tmp_path, task)
    original = onnx.load(network / "bundle" / "model.onnx")
    assert any(node.op_type in ("Gemm", "MatMul") for node in original.graph.node if is_preprocessing(node))
    for form in ("static_int8", "fp16"):
        made = place.evaluate({"model": "brought", "quantize": form})
        model = deployed(place, made.artifact_key)
        assert before(model) == before(original)
        assert list(model.graph.input) == list(original.graph.input)
        assert abs(made.measures["quality_drop"].value) < 5
        assert made.measures["size_bytes"].value < 0.8 * len(original.SerializeToString())


def test_rows_are_split_by_the_bundles_own_seed_and_another_split_is_told(network: Path, tmp_path: Path) -> None:
    bundle, rows = tmp_path / "bundle", rows_file(tmp_path)
    shutil.copytree(network / "bundle", bundle)
    usual = prepared(bundle, rows)
    data = json.loads((bundle / "manifest.json").read_text())["data"]
    assert (data["seed"], data["split"][:9]) == (0, "by a hash")
    seal_again(bundle, data={**data, "seed": 5, "split": "by time ('when'): oldest rows train, newest test"})
    found = prepared(bundle, rows)
    assert (usual.facts.seed, found.facts.seed, prepared(bundle, rows, seed=7).facts.seed) == (0, 5, 7)
    assert any("were split by time ('when')" in told for told in found.facts.warnings)
    assert not any("were split" in told for told in usual.facts.warnings)


def test_the_new_bundle_takes_the_same_rows_and_gives_the_same_columns(network: Path, tmp_path: Path) -> None:
    place = placed(tmp_path, prepared(network / "bundle", rows_file(tmp_path)))
    recipe, twin = ({"model": "brought", "quantize": form} for form in ("none", "static_int8"))
    write_bundle(tmp_path / "small", contents_of(place, place.verify(recipe, twin), recipe, chosen="quantized"))
    old, new = load_bundle(network / "bundle"), load_bundle(tmp_path / "small")
    assert new.front == old.front
    assert new.content("float") == old.content("float")
    assert new.manifest["metric"] == old.manifest["metric"]
    raw = FRAME.drop(columns="label")
    assert new.predict(raw, artifact="float").equals(old.predict(raw))
    small = new.predict(raw)
    assert list(small.columns) == ["prediction", "probability_no", "probability_yes"]
    assert np.abs(small["probability_yes"] - old.predict(raw)["probability_yes"]).max() < 0.1
    again = prepared(tmp_path / "small", tmp_path / "rows.csv")
    assert again.graph == old.content("float")


def test_trees_of_a_bundle_are_written_in_fewer_bytes(tmp_path: Path) -> None:
    made = make_bundle(tmp_path, FRAME, "lightgbm", None, {"encode": "ordinal"})
    (tmp_path / "new").mkdir()
    task = prepared(made.folder, rows_file(tmp_path))
    assert Quantize.value_applies("static_int8", task.facts, Slot(index=0)) is not None
    place = placed(tmp_path / "new", task)
    compact, trimmed = (
        place.evaluate({"model": "brought", "quantize": form, **more})
        for form, more in (("compact", {}), ("trimmed", {"quantize.score_change": 0.2}))
    )
    assert trimmed.measures["size_bytes"].value < 0.8 * compact.measures["size_bytes"].value
    assert trimmed.measures["quality_drop"].value < 10
    assert before(deployed(place, trimmed.artifact_key)) == before(onnx.load(made.folder / "model.onnx"))
    assert compact.measures["quality_drop"].value == 0
    assert compact.measures["size_bytes"].value < 0.6 * (made.folder / "model.onnx").stat().st_size
    assert before(deployed(place, compact.artifact_key)) == before(onnx.load(made.folder / "model.onnx"))


def image_net() -> onnx.ModelProto:
    """The mean of each colour, through a product."""
    graph = GraphBuilder("colours")
    reals = graph.add("Cast", graph.input("image", np.uint8, ("rows", 12, 16, 3)), to=onnx.TensorProto.FLOAT)
    means = graph.add("ReduceMean", reals, graph.constant([1, 2], np.int64), keepdims=0)
    weight = np.random.default_rng(0).normal(size=(3, 3)) / 20
    return scored(graph, graph.add("Gemm", means, graph.constant(weight, np.float32)))


def test_folders_of_images_are_the_classes_of_their_bundle(tmp_path: Path) -> None:
    made = hand_made(tmp_path, image_task, image_net)
    photos = write_classes(tmp_path / "photos", {"dog": 30, "bird": 30}, height=20, width=20)
    task = prepared(made.folder, photos)
    assert task.facts.raw_form is Modality.IMAGES
    assert task.facts.classes == CLASSES
    assert {*np.concatenate([part.target for part in task.parts.values()])} == {0, 2}
    assert task.parts["train"].tensors[0].shape[1:] == (12, 16, 3)
    (tmp_path / "new").mkdir()
    int8 = placed(tmp_path / "new", task).evaluate({"model": "brought", "quantize": "static_int8"})
    assert int8.measures["quality"].value > 0
    listed = [{"image": f"photos/{path.parent.name}/{path.name}", "label": "cat"} for path in photos.rglob("*.png")]
    task = prepared(made.folder, rows_file(tmp_path, pd.DataFrame(listed)))
    assert {*np.concatenate([part.target for part in task.parts.values()])} == {1}
    shutil.move(photos / "dog", photos / "wolf")
    with pytest.raises(DataError, match=r"'wolf' in .* which are no classes of the bundle: 'bird', 'cat', 'dog'"):
        prepared(made.folder, photos)


def test_texts_and_tensors_without_labels_are_judged_by_the_graph_itself(tmp_path: Path) -> None:
    for name in ("text", "tensor"):
        (tmp_path / name).mkdir()
    texts = hand_made(tmp_path / "text", text_task, text_graph)
    words = [f"word {k}" if k % 3 else ("bird", "a cat")[k % 2] for k in range(60)]
    table = rows_file(tmp_path, pd.DataFrame({"title": words, "body": "", "other": 1}))
    task = prepared(texts.folder, table)
    assert task.facts.raw_form is Modality.TEXT
    assert task.facts.graph is not None
    assert (task.facts.graph.labelled, task.facts.metric, task.facts.target) == (False, "accuracy", "label")
    found = np.concatenate([part.texts[0] for part in task.parts.values()])
    assert sorted(found) == sorted(words)
    tensors = hand_made(tmp_path / "tensor", tensor_task, tensor_graph)
    draw = np.random.default_rng(0)
    signal, bias = draw.normal(size=(40, 3, 4)).astype(np.float32), draw.integers(-2, 3, (40, 3))
    np.savez(tmp_path / "rows.npz", signal=signal, bias=bias, label=np.array(CLASSES)[np.arange(40) % 3])
    task = prepared(tensors.folder, tmp_path / "rows.npz")
    assert task.facts.raw_form is Modality.MODULE
    assert sorted(np.concatenate([part.target for part in task.parts.values()])) == sorted(np.arange(40) % 3)


def values_task() -> tuple[TaskFacts, Part]:
    columns = (ColumnFacts(name="size", role=Role.NUMBER, used=True),)
    facts = facts_of(Modality.TABULAR, kind=Kind.REGRESSION, classes=(), metric="rmse", target="price", columns=columns)
    return facts, part_of(numbers=np.arange(24.0)[:, None], target=np.arange(24.0))


def values_graph() -> onnx.ModelProto:
    graph = GraphBuilder("double")
    size = graph.add("Cast", graph.input("size", np.float64, ("rows", 1)), to=onnx.TensorProto.FLOAT)
    graph.output("scores", graph.add("Add", size, size), np.float32, ("rows", 1))
    return graph.build()


def test_values_are_judged_by_the_bundles_own_metric_and_rows_without_any_are_named(tmp_path: Path) -> None:
    made = hand_made(tmp_path, values_task, values_graph)
    frame = pd.DataFrame({"size": np.arange(60.0), "price": np.arange(60.0) * 2})
    assert prepared(made.folder, rows_file(tmp_path, frame)).facts.metric == "rmse"
    assert prepared(made.folder, rows_file(tmp_path, frame[["size"]])).facts.metric == "r2"
    wrong = frame.astype({"price": object})
    wrong.loc[[3, 4], "price"] = ["cheap", None]
    with pytest.raises(DataError, match=r"'price' has no number in 2 rows \(rows 5, 6\)"):
        prepared(made.folder, rows_file(tmp_path, wrong))
    twice = pd.concat([frame, 2 * frame[["price"]]], axis=1)
    with pytest.raises(DataError, match="Duplicate column names: 'price'"):
        prepared(made.folder, rows_file(tmp_path, twice))


def _damaged(bundle: Path) -> None:
    (bundle / "model.onnx").write_bytes(b"other")


def _unnamed(bundle: Path) -> None:
    (bundle / "manifest.json").unlink()


def _weights(bundle: Path) -> None:
    (bundle / "model.onnx").rename(bundle / "model.safetensors")
    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest["files"]["model.safetensors"] = manifest["files"].pop("model.onnx")
    manifest["artifacts"][0]["path"] = "model.safetensors"
    seal_again(bundle, files=manifest["files"], artifacts=manifest["artifacts"])


def _forged(bundle: Path) -> None:
    front = (bundle / "front.json").read_text().replace('"binary"', '"unheard of"').encode()
    (bundle / "front.json").write_bytes(front)
    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest["files"]["front.json"] = {"bytes": len(front), "sha256": hashlib.sha256(front).hexdigest()}
    seal_again(bundle, files=manifest["files"])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (_damaged, "model.onnx is not the file that was exported"),
        (_unnamed, "has no manifest.json, so it is no bundle"),
        (_weights, "holds weights and no graph"),
        (_forged, "front.json says 'unheard of' and names 2 classes"),
    ],
)
def test_a_bundle_that_cannot_be_used_is_told_with_what_is_wrong_beside(
    network: Path, tmp_path: Path, change: Callable[[Path], None], told: str
) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(network / "bundle", bundle)
    change(bundle)
    with pytest.raises(DataError) as caught:
        prepared(bundle, tmp_path / "gone.csv", normalize="imagenet")
    assert told in str(caught.value)
    assert len(caught.value.problems) == 3


def test_rows_that_do_not_fit_are_told_at_once(network: Path, tmp_path: Path) -> None:
    wrong = FRAME.drop(columns=["age", "job"])
    wrong.loc[[3, 4], "label"] = ["maybe", None]
    with pytest.raises(DataError) as caught:
        prepared(network / "bundle", rows_file(tmp_path, wrong))
    first, second, third = map(str, caught.value.problems)
    assert "'age', 'job'" in first
    assert "'label' has no value in 1 row (row 6)" in second
    assert "'label' holds 'maybe' in 1 row (row 5)" in third
    with pytest.raises(DataError, match="--target 'nix' is not a column"):
        prepared(network / "bundle", rows_file(tmp_path), target="nix")


def test_without_rows_nothing_is_begun(network: Path, tmp_path: Path) -> None:
    ran = run_here("compress", str(network / "bundle"), "--limit", "size<=1", "--home", str(tmp_path / "home"))
    assert ran.code == 2
    assert "--data is missing, and its few sample rows are too few" in ran.err
    assert not (tmp_path / "home").exists()
    with pytest.raises(OptionError, match="gone/ does not exist"):
        compress_options("gone/")
    with pytest.raises(OptionError, match=r"--verify-key .* is for a bundle"):
        compress_options("model.onnx", rows="rows.csv", verify_key="pub.pem")
    with pytest.raises(OptionError, match="of which none is searched"):
        compress_options("own/task.py:task", pins=("build.width=32",))


def test_what_both_halves_of_an_ensemble_read_is_kept_twice() -> None:
    graph = GraphBuilder("shared")
    x = graph.input("x", np.float32, ("rows", 2))
    both = graph.constant(np.eye(2), np.float32)
    features = graph.add("MatMul", x, both, name="member1/_prepare/features")
    graph.output("scores", graph.add("MatMul", features, both), np.float32, ("rows", 2))
    model = graph.build()
    model.producer_name = "autoopt"
    rows = Features(numbers=np.arange(4, dtype=np.float32).reshape(2, 2), codes=np.zeros((2, 0), dtype=np.int64))

    class Raw(Features):
        def model_feed(self, chosen: np.ndarray | slice) -> dict[str, np.ndarray]:
            return {"x": self.numbers[chosen]}

    pipeline = Pipeline(model)
    given = pipeline.rows(Raw(numbers=rows.numbers, codes=rows.codes))
    half = pipeline.model(given)
    assert [node.op_type for node in half.graph.node] == ["MatMul"]
    assert [value.name for value in half.graph.input] == [features]
    half.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(2 * np.eye(2, dtype=np.float32), both))
    joined = pipeline.joined(half)
    assert {tuple(onnx.numpy_helper.to_array(c).diagonal()) for c in joined.graph.initializer} == {(1, 1), (2, 2)}
