"""Ensembles taken through the stages: what is deployed is the weighted mean of its members, on any raw rows."""

import dataclasses
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import pytest
from numpy.typing import NDArray
from support_stages import Place, make_place, mixed_frame, recipe_of
from support_text import rows_of_words

from autoopt.errors import StageFailure
from autoopt.runtime import Session
from autoopt.space.ensembles import MEMBERS, MEMBERS_FP16, Member, ensemble_recipe
from autoopt.space.recipe import Recipe
from autoopt.stages import worker
from autoopt.stages.contract import EvaluateResult, SelectJob, SelectResult
from autoopt.stages.rows import feed_of
from autoopt.task.options import TaskOptions
from autoopt.task.prepare import prepare_task
from autoopt.task.snapshot import Part, Snapshot
from autoopt.values import MEASURE_UNITS, Slot

pytestmark = pytest.mark.usefixtures("short_timing")

TREES = recipe_of("lightgbm", encode="ordinal")
FOREST = recipe_of("random_forest", "compact", encode="ordinal")
LINE = recipe_of("linear", encode="onehot", scale="standard")
NETWORK = recipe_of("mlp", "static_int8", encode="embed", scale="standard")
WEIGHTS = {0: 3, 1: 1, 2: 2, 3: 1}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return make_place(tmp_path_factory.mktemp("mixed"), mixed_frame(), "label")


def members(*recipes: Recipe) -> list[Member]:
    return [Member(trial=k, weight=WEIGHTS[k], recipe=recipe) for k, recipe in enumerate(recipes)]


def strange(rows: Part) -> Part:
    """Rows without any number, and rows with categories that nobody has seen."""
    numbers, categories = rows.numbers.copy(), rows.categories.copy()
    numbers[::3] = np.nan
    categories[1::3] = "nowhere"
    categories[2::5] = ""
    return dataclasses.replace(rows, numbers=numbers, categories=categories)


def file_of(place: Place, result: EvaluateResult) -> Path:
    return Path(place.store) / "deploy" / result.artifact_key / "model.onnx"


def scores_of(place: Place, result: EvaluateResult, rows: Part) -> NDArray[np.float64]:
    facts = Snapshot.open(Path(place.snapshot)).facts
    return Session(file_of(place, result)).run(feed_of(facts, rows)).astype(np.float64)


@pytest.mark.parametrize("quantize", ["none", MEMBERS, MEMBERS_FP16])
def test_it_gives_the_weighted_mean_of_its_members_on_any_raw_rows(place: Place, quantize: str) -> None:
    recipes = (TREES, FOREST, LINE, NETWORK)
    result = place.evaluate(ensemble_recipe(members(*recipes), quantize=quantize))
    assert set(result.measures) == set(MEASURE_UNITS)
    rows = strange(Snapshot.open(Path(place.snapshot)).part("valid"))
    trees = ("compact", "compact", "none")
    forms = {"none": ("none",) * 4, MEMBERS: (*trees, "static_int8"), MEMBERS_FP16: (*trees, "fp16")}[quantize]
    alone = [place.evaluate(r.replace({"quantize": form})) for r, form in zip(recipes, forms, strict=True)]
    shares = np.array(list(WEIGHTS.values())) / sum(WEIGHTS.values())
    mean = sum(s * scores_of(place, a, rows) for s, a in zip(shares, alone, strict=True))
    np.testing.assert_allclose(scores_of(place, result, rows), mean, atol=2e-6)
    assert result.measures["size_bytes"].value < sum(a.measures["size_bytes"].value for a in alone)


def test_a_preprocessing_that_members_share_is_there_once(place: Place) -> None:
    other = TREES.replace({"lightgbm.num_leaves": 7})
    graphs = [
        onnx.load(file_of(place, place.evaluate(recipe)))
        for recipe in (TREES, other, ensemble_recipe(members(TREES, other)))
    ]
    first, second, both = (Counter(n.op_type for n in g.graph.node) for g in graphs)
    assert first["LabelEncoder"] == second["LabelEncoder"] == both["LabelEncoder"] > 0
    assert both["TreeEnsembleRegressor"] == 2


def test_measured_again_nothing_is_built_again(place: Place) -> None:
    recipe = ensemble_recipe(members(TREES, LINE))
    first, again = place.evaluate(recipe), place.evaluate(recipe)
    assert first.artifact_key == again.artifact_key
    assert {s.name: s.hit for s in again.stages} == {"deploy": True, "measure": False}


def test_it_is_verified_with_a_twin_of_its_members_quantized_forms(place: Place) -> None:
    recipe = ensemble_recipe(members(TREES, FOREST, LINE))
    result = place.verify(recipe, recipe.replace({"quantize": MEMBERS}))
    assert result.twin is not None
    assert result.twin_reason == ""
    assert result.twin.size_bytes < result.float_artifact.size_bytes
    assert result.float_artifact.parity["holds"]
    assert result.twin.parity["gate"] == "scores"  # compact trees promise the same predictions
    assert result.float_artifact.test is not None
    assert {name.partition(".")[0] for name in result.weights} == {"1", "2", "3"}
    assert all(Path(path).is_file() for path in result.weights.values())


def test_trees_in_both_of_onnx_s_operators_stay_portable(place: Place) -> None:
    stump = recipe_of("decision_tree", **{"decision_tree.max_leaf_nodes": 8, "decision_tree.min_samples_leaf": 100})
    result = place.evaluate(ensemble_recipe(members(FOREST, stump), quantize=MEMBERS))
    operators = {n.op_type for n in onnx.load(file_of(place, result)).graph.node}
    assert len(operators & {"TreeEnsemble", "TreeEnsembleRegressor"}) == 1


def test_texts_are_cut_into_tokens_once(tmp_path: Path) -> None:
    texts, topics = rows_of_words(400, 2, seed=5)
    frame = pd.DataFrame({"title": texts[:, 0], "text": texts[:, 1], "y": [f"topic {t}" for t in topics]})
    prepare_task(frame, TaskOptions(target="y", text=("title", "text")), "test").save(tmp_path / "snapshot")
    place = Place(snapshot=str(tmp_path / "snapshot"), store=str(tmp_path / "store"))
    words = Recipe({"model": "ngram_linear", "quantize": "none", "ngrams": "words_1"})
    bayes = Recipe({"model": "ngram_bayes", "quantize": "none", "ngrams": "words_1"})
    result = place.evaluate(ensemble_recipe(members(words, bayes)))
    alone = [place.evaluate(words), place.evaluate(bayes)]
    rows = Snapshot.open(Path(place.snapshot)).part("valid")
    mean = 0.75 * scores_of(place, alone[0], rows) + 0.25 * scores_of(place, alone[1], rows)
    np.testing.assert_allclose(scores_of(place, result, rows), mean, atol=2e-6)
    counts = [Counter(n.op_type for n in onnx.load(file_of(place, r)).graph.node) for r in (alone[0], result)]
    assert counts[0]["Tokenizer"] == counts[1]["Tokenizer"] > 0


def test_a_member_that_cannot_be_built_fails_the_ensemble(place: Place) -> None:
    with pytest.raises(StageFailure, match="knows"):
        place.evaluate(ensemble_recipe(members(TREES, Recipe({"model": "oracle"}))))


def select(place: Place, *keys: str) -> SelectResult:
    job = SelectJob(
        snapshot=place.snapshot, store=place.store, candidates=tuple(enumerate(keys)), most_members=(5, 2), seed=0
    )
    return SelectResult.from_json(worker.select(job.to_json(), Slot(index=0), lambda *_a, **_k: None))


def test_members_are_selected_by_what_the_store_holds_of_them(place: Place) -> None:
    keys = [place.evaluate(recipe).artifact_key for recipe in (TREES, FOREST, LINE)]
    found = select(place, *keys)
    assert all(2 <= len(s) <= 5 and set(s) <= {0, 1, 2} for s in found.selections)
    assert all(len(s) == 2 for s in found.selections[1:])
    assert found.together >= found.single
    assert "two trials" in select(place, keys[0], "0" * 64).reason
    assert "better than the best" in select(place, keys[0], keys[0]).reason
