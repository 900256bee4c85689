"""What must not pass: predictions that are not finite, graphs that compute something else."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from support_stages import Place, Reports, make_place, recipe_of

from autoopt.errors import StageFailure
from autoopt.files import Store
from autoopt.space.recipe import Recipe
from autoopt.stages import deploy, runners, train
from autoopt.stages.flow import Flow
from autoopt.stages.parity import Parity
from autoopt.stages.preparing import PREPARERS, tables
from autoopt.strategies.base import Stage
from autoopt.strategies.deploying.mirror import Mirror
from autoopt.strategies.deploying.quantize import Quantize
from autoopt.strategies.model import Model, TableData, Trained, TrainingContext
from autoopt.strategies.tables.preprocess import Preprocess, fit_preprocess
from autoopt.task.snapshot import Snapshot


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return make_place(tmp_path_factory.mktemp("wine"), "demo:wine")


def _flow(place: Place, recipe: Recipe) -> Flow:
    return Flow(
        snapshot=Snapshot.open(place.snapshot),
        store=Store(Path(place.store)),
        recipe=recipe,
        seed=1,
        slot=place.slot,
        report=Reports(),
    )


@dataclass(frozen=True, kw_only=True)
class _Broken(Model):
    """A model whose predictions are what the test wants."""

    name: ClassVar[str] = "broken"
    stage: ClassVar[Stage] = "train"
    scores: Any = None

    def train(self, data: TableData, context: TrainingContext) -> Trained:
        return Trained(artifact=None, valid_scores=self.scores)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "columns, value, reason", [(3, np.nan, "not_finite"), (3, np.inf, "not_finite"), (2, 0.5, "error")]
)
def test_a_training_is_judged_before_it_is_kept(
    place: Place, tmp_path: Path, columns: int, value: float, reason: str
) -> None:
    flow = _flow(place, recipe_of("linear"))
    flow.prepared()
    rows = flow.facts.rows["valid"]
    model = _Broken(scores=np.full((rows, columns), value))
    with pytest.raises(StageFailure) as caught:
        train.train(model, flow._data(), flow._context(), tmp_path)
    assert caught.value.reason == reason
    assert list(tmp_path.iterdir()) == []


def test_a_preprocessing_graph_that_computes_something_else_is_refused(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(part: Any, facts: Any, recipe: Recipe, target: Any, *, seed: int) -> Preprocess:
        right = fit_preprocess(part, facts, recipe, target, seed=seed)
        return replace(right, graph=fit_preprocess(part, facts, recipe.replace({"scale": "none"}), target).graph)

    monkeypatch.setattr(tables, "fit_preprocess", wrong)
    store = Place(snapshot=place.snapshot, store=str(tmp_path / "store"))
    with pytest.raises(StageFailure, match="differs from scikit-learn") as caught:
        store.evaluate(recipe_of("linear", scale="standard"))
    assert caught.value.reason == "parity"
    assert not list((tmp_path / "store" / "prepare").iterdir())


def form_of(quantize: str, *, mirror: bool = False) -> deploy.Form:
    return deploy.Form(quantize=Quantize(form=quantize), mirror=Mirror(on=mirror))


@pytest.mark.parametrize(("quantize", "mirror"), [("none", False), ("static_int8", False), ("none", True)])
def test_only_lossless_forms_are_held_to_the_models_own_scores(
    place: Place, tmp_path: Path, quantize: str, mirror: bool
) -> None:
    form = form_of(quantize, mirror=mirror)
    flow = _flow(place, recipe_of("linear"))
    content = (flow.deployed().path / runners.GRAPH).read_bytes()
    valid = flow.snapshot.part("valid")
    other = np.roll(train.load_valid_scores(flow.trained()), 1, axis=1)
    if form.lossless:
        assert (quantize, mirror) == ("none", False)
        with pytest.raises(StageFailure, match="does not compute what the trained model computes") as caught:
            deploy.deploy(content, flow.facts, valid, other, form, tmp_path)
        assert caught.value.reason == "parity"
    else:
        assert not deploy.deploy(content, flow.facts, valid, other, form, tmp_path).holds


def test_rows_that_fell_to_the_other_side_are_told() -> None:
    parity = Parity(rows=500, max_abs_difference=0.25, tolerance=1e-4, rows_beyond=1, label_agreement=1.0, holds=True)
    assert deploy.parity_notes(replace(parity, rows_beyond=0), form_of("none")) == ()
    assert deploy.parity_notes(parity, form_of("static_int8")) == ()
    (note,) = deploy.parity_notes(parity, form_of("compact"))
    assert "1 of 500 valid rows" in note


def test_a_metric_that_is_undefined_is_a_failure_in_words(place: Place) -> None:
    facts = replace(Snapshot.open(place.snapshot).facts, metric="roc_auc", classes=("a", "b"))
    with pytest.raises(StageFailure, match="roc_auc is undefined") as caught:
        deploy.quality(facts, np.zeros(5, dtype=np.int64), np.full((5, 2), 0.5))
    assert caught.value.reason == "not_finite"


def test_the_same_graph_is_the_same_bytes(place: Place) -> None:
    flow = _flow(place, recipe_of("decision_tree"))
    graph, artifact = PREPARERS[flow.facts.modality].graph(flow.prepared().path), flow.artifact()
    features = flow.part("train")
    for form in ("none", "compact"):
        first, second = (deploy.whole_graph(flow.facts, graph, artifact, form_of(form), features) for _ in range(2))
        assert first == second
