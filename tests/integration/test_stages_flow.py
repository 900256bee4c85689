"""Recipes taken through every stage, on small real sets, without an executor."""

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from support_stages import MODELS, Place, Reports, make_place, mixed_frame, recipe_of

from autoopt.errors import StageFailure
from autoopt.runtime import Session
from autoopt.space.recipe import Recipe
from autoopt.stages.contract import EvaluateResult
from autoopt.stages.keys import stage_keys
from autoopt.strategies import catalogue, models
from autoopt.strategies.deploying.quantize import KIND_VALUES
from autoopt.task.facts import Modality
from autoopt.task.snapshot import Snapshot
from autoopt.values import MEASURE_UNITS

pytestmark = pytest.mark.usefixtures("short_timing")

OF_TABLES = {name: model for name, model in models().items() if Modality.TABULAR in model.modalities}
CASES = [(name, quantize) for name, model in OF_TABLES.items() for quantize in KIND_VALUES[model.artifact_kind]]


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Numbers and categories with gaps, two classes."""
    return make_place(tmp_path_factory.mktemp("mixed"), mixed_frame(), "label")


@pytest.fixture(scope="module")
def values(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Regression on numbers."""
    return make_place(tmp_path_factory.mktemp("values"), "demo:diabetes")


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Three classes on numbers."""
    return make_place(tmp_path_factory.mktemp("classes"), "demo:wine")


@pytest.fixture
def fresh(tmp_path: Path, classes: Place) -> Place:
    """The three-class task with an empty store."""
    return Place(snapshot=classes.snapshot, store=str(tmp_path / "store"))


def _stages(result: EvaluateResult) -> dict[str, bool]:
    return {s.name: s.hit for s in result.stages}


@pytest.mark.parametrize("task", ["mixed", "values", "classes"])
@pytest.mark.parametrize("model, quantize", CASES)
def test_every_model_and_form_is_built_deployed_and_measured(
    task: str, model: str, quantize: str, request: pytest.FixtureRequest
) -> None:
    place: Place = request.getfixturevalue(task)
    result = place.evaluate(recipe_of(model, quantize))
    assert set(result.measures) == set(MEASURE_UNITS)
    assert result.infeasible == ""
    assert not any(m.provisional for m in result.measures.values())
    latency = result.measures["latency_ms"]
    assert 0 < latency.low <= latency.value <= latency.high  # type: ignore[operator]
    assert latency.value <= result.measures["latency_p95_ms"].value
    folder = Path(place.store) / "deploy" / result.artifact_key
    assert result.measures["size_bytes"].value == (folder / "model.onnx").stat().st_size
    session = Session(folder / "model.onnx")
    snapshot = Snapshot.open(place.snapshot)
    assert set(session.inputs) == {*snapshot.facts.number_columns, *snapshot.facts.category_columns}
    assert session.outputs == ("scores", "prediction")


def test_every_model_has_a_small_recipe_here() -> None:
    assert set(MODELS) == set(OF_TABLES)


def test_recipes_here_hold_declared_slots_only() -> None:
    declared = catalogue().declarations
    assert [n for m in MODELS for n in recipe_of(m) if n not in declared] == []


def test_another_model_is_another_training_but_the_same_preparation(classes: Place) -> None:
    found = [stage_keys(catalogue(), Recipe({"model": m}), fingerprint="f", seed=1, device="cpu") for m in OF_TABLES]
    assert len({k.prepare for k in found}) == 1
    assert len({k.train for k in found}) == len(found)


def test_a_second_run_makes_nothing_anew(fresh: Place) -> None:
    recipe = recipe_of("decision_tree")
    first, second = fresh.evaluate(recipe), fresh.evaluate(recipe)
    assert _stages(first) == {"prepare": False, "train": False, "deploy": False, "measure": False}
    assert _stages(second) == {"prepare": True, "train": True, "deploy": True, "measure": False}
    assert first.artifact_sha256 == second.artifact_sha256
    assert first.measures["quality"] == second.measures["quality"]
    assert first.measures["train_s"] == second.measures["train_s"]


def test_another_form_of_deployment_trains_nothing(fresh: Place) -> None:
    fresh.evaluate(recipe_of("decision_tree"))
    other = fresh.evaluate(recipe_of("decision_tree", "compact"))
    assert _stages(other) == {"prepare": True, "train": True, "deploy": False, "measure": False}


def test_another_model_prepares_nothing(fresh: Place) -> None:
    fresh.evaluate(recipe_of("decision_tree"))
    other = fresh.evaluate(recipe_of("linear"))
    assert _stages(other) == {"prepare": True, "train": False, "deploy": False, "measure": False}


def test_a_deployed_file_is_found_after_what_it_was_made_from_was_collected(fresh: Place) -> None:
    first = fresh.evaluate(recipe_of("decision_tree"))
    for stage in ("prepare", "train"):
        shutil.rmtree(Path(fresh.store) / stage)
    again = fresh.evaluate(recipe_of("decision_tree"))
    assert _stages(again) == {"deploy": True, "measure": False}
    assert again.artifact_sha256 == first.artifact_sha256


@pytest.mark.parametrize("model", ["decision_tree", "random_forest", "extra_trees", "lightgbm"])
def test_models_learn_from_stored_features_with_gaps(mixed: Place, model: str) -> None:
    result = mixed.evaluate(recipe_of(model, impute="native"))
    assert result.artifact_key
    assert result.measures["quality"].value > 0.5


@pytest.mark.parametrize(
    "stage, file", [("deploy", "model.onnx"), ("train", "valid_scores.npy"), ("deploy", "entry.json")]
)
def test_a_damaged_entry_is_made_again(fresh: Place, stage: str, file: str) -> None:
    recipe = recipe_of("decision_tree")
    first = fresh.evaluate(recipe)
    if stage != "deploy":
        shutil.rmtree(Path(fresh.store) / "deploy")
    (damaged,) = (Path(fresh.store) / stage).glob(f"*/{file}")
    damaged.write_bytes(damaged.read_bytes()[:-7] + b"garbage")
    again = fresh.evaluate(recipe)
    assert _stages(again)[stage] is False
    assert again.artifact_sha256 == first.artifact_sha256


@pytest.mark.parametrize("model", ["lightgbm", "random_forest", "linear", "mlp"])
def test_the_same_recipe_and_seed_give_the_same_bytes(model: str, classes: Place, tmp_path: Path) -> None:
    stores = [Place(snapshot=classes.snapshot, store=str(tmp_path / name)) for name in ("one", "two")]
    first, second = (place.evaluate(recipe_of(model)) for place in stores)
    assert first.artifact_sha256 == second.artifact_sha256
    assert first.artifact_key == second.artifact_key


def test_another_seed_is_another_training(classes: Place, tmp_path: Path) -> None:
    places = [Place(snapshot=classes.snapshot, store=str(tmp_path / "store"), seed=seed) for seed in (1, 2)]
    first, second = (place.evaluate(recipe_of("random_forest")) for place in places)
    assert first.artifact_key != second.artifact_key
    assert first.artifact_sha256 != second.artifact_sha256


def test_progress_names_the_stages_and_the_steps_of_the_training(fresh: Place) -> None:
    reports = Reports()
    fresh.evaluate(recipe_of("mlp"), reports)
    assert reports.stages == ["deploy", "prepare", "prepare", "train", "train", "deploy", "measure"]
    assert {stage for stage, _ in reports.steps} == {"train"}
    assert max(step for _, step in reports.steps) >= 2


def test_the_graph_says_what_it_is(classes: Place) -> None:
    result = classes.evaluate(recipe_of("decision_tree"))
    model = onnx.load(Path(classes.store) / "deploy" / result.artifact_key / "model.onnx")
    told = {p.key: p.value for p in model.metadata_props}
    assert told["autoopt.kind"] == "multiclass"
    assert told["autoopt.classes"] == '["class_0", "class_1", "class_2"]'
    names = [n.name for n in model.graph.node]
    assert len(names) == len(set(names))
    produced = {o for n in model.graph.node for o in n.output} | {i.name for i in model.graph.input}
    read = {i for n in model.graph.node for i in n.input} | {"scores", "prediction"}
    assert {o for n in model.graph.node for o in n.output} <= read
    assert {t.name for t in model.graph.initializer} <= read
    assert read - {""} <= produced | {t.name for t in model.graph.initializer}


def test_in_the_bustle_latencies_are_provisional_and_scaled_by_the_reference(classes: Place) -> None:
    recipe = recipe_of("decision_tree")
    raw = classes.evaluate(recipe, quiet=False)
    assert raw.measures["latency_ms"].provisional
    assert not raw.measures["quality"].provisional
    scaled = classes.evaluate(recipe, quiet=False, reference_quiet_ms=1000.0)
    assert scaled.measures["latency_ms"].value > 50 * raw.measures["latency_ms"].value
    assert scaled.measures["size_bytes"] == raw.measures["size_bytes"]


HUGE = {"mlp.width": 512, "mlp.depth": 3}


def test_a_network_that_is_too_large_is_not_trained(fresh: Place) -> None:
    reports = Reports()
    result = fresh.evaluate(recipe_of("mlp", **HUGE), reports, limits=["size_bytes<=100KB", "quality>=0.5"])
    assert result.infeasible.startswith("size_bytes<=100 kB broken: ")
    assert result.measures["size_bytes"].value > 1_000_000
    assert "quality" not in result.measures
    assert reports.steps == []
    assert "train" not in _stages(result)
    assert result.artifact_key == ""
    assert not (Path(fresh.store) / "train").exists()


def test_a_network_that_is_too_slow_is_not_trained(fresh: Place) -> None:
    result = fresh.evaluate(recipe_of("mlp", **HUGE), limits=["latency_ms<=0.0005"])
    assert result.infeasible.startswith("latency_ms<=0.0005 broken: ")


def test_a_network_within_its_limits_is_trained(fresh: Place) -> None:
    result = fresh.evaluate(recipe_of("mlp"), limits=["size_bytes<=1MB", "latency_ms<=1000"])
    assert result.infeasible == ""
    assert "quality" in result.measures


def test_the_untrained_network_is_as_large_as_the_trained_one(fresh: Place) -> None:
    trained = fresh.evaluate(recipe_of("mlp")).measures["size_bytes"].value
    untrained = Place(snapshot=fresh.snapshot, store=fresh.store + "2").evaluate(
        recipe_of("mlp"), limits=["size_bytes<=1KB"]
    )
    assert untrained.infeasible.startswith("size_bytes<=1 kB broken: ")
    assert untrained.measures["size_bytes"].value == pytest.approx(trained, rel=0.02)


def test_trees_are_measured_after_training_whatever_the_limits(fresh: Place) -> None:
    result = fresh.evaluate(recipe_of("decision_tree"), limits=["size_bytes<=10"])
    assert result.infeasible == ""
    assert result.artifact_key != ""


def test_a_form_that_does_not_fit_the_model_is_a_failure_in_words(fresh: Place) -> None:
    with pytest.raises(StageFailure, match="static_int8 does not fit"):
        fresh.evaluate(recipe_of("decision_tree", "static_int8"))


def test_an_unknown_model_is_a_failure_in_words(fresh: Place) -> None:
    with pytest.raises(StageFailure, match="'oracle' is none that this version knows"):
        fresh.evaluate(Recipe({"model": "oracle"}))


def test_artifacts_are_measured_again_beside_the_reference(classes: Place) -> None:
    keys = [classes.evaluate(recipe_of(m)).artifact_key for m in ("decision_tree", "linear")]
    found = classes.remeasure(*keys, "0" * 64)
    assert set(found) == {*keys, "reference"}
    assert set(found[keys[0]]) == {"latency_ms", "latency_p95_ms", "latency_batch_ms"}
    assert found["reference"]["latency_ms"]["value"] > 0


def test_the_reference_alone_can_be_measured(classes: Place) -> None:
    assert set(classes.remeasure(seconds=0.05)) == {"reference"}


def test_features_are_those_of_the_deployed_graph(classes: Place) -> None:
    """What the model was judged on while training is what the file gives on raw rows."""
    result = classes.evaluate(recipe_of("linear"))
    deployed = np.load(Path(classes.store) / "deploy" / result.artifact_key / "valid_scores.npy")
    trained = np.load(Path(classes.store) / "train" / _key(result, "train") / "valid_scores.npy")
    np.testing.assert_allclose(deployed, trained, atol=1e-5)


def _key(result: EvaluateResult, stage: str) -> str:
    return next(s.key for s in result.stages if s.name == stage)
