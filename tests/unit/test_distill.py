"""Who teaches, and what a taught target is."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support_stages import Place, make_place, recipe_of

from autoopt.errors import StageFailure
from autoopt.files import Store
from autoopt.orchestrator.teacher import Teachers, teacher_key, with_teachers
from autoopt.space.recipe import Recipe
from autoopt.stages import teaching
from autoopt.stages.flow import Flow
from autoopt.strategies.learning.distill import TEACHERS, Distill, joined
from autoopt.task.snapshot import Snapshot
from autoopt.values import Measurement, Slot, TrialState

TEACHER = TEACHERS[0]
ASKING = Recipe({"model": "mlp", "distill": "best", "distill.weight": 0.5})
ASKING_THREE = ASKING.replace({"distill": "best_three"})


@dataclass(frozen=True)
class Row:
    """As much of a trial's row as the choice looks at."""

    number: int
    quality: float
    state: TrialState = TrialState.COMPLETE
    width: int = 0
    quantize: str = "none"

    @property
    def recipe(self) -> dict[str, Any]:
        return {"model": "mlp", "mlp.width": self.width or 16 + self.number, "quantize": self.quantize}

    @property
    def artifact_key(self) -> str:
        return f"key{self.number}"

    @property
    def measures(self) -> dict[str, Measurement]:
        return {"quality": Measurement(value=self.quality)}


def rows(*qualities: float) -> Any:
    return [Row(number, quality) for number, quality in enumerate(qualities)]


def test_the_best_feasible_trial_teaches() -> None:
    trials = [*rows(0.5, 0.9, 0.7), Row(3, 0.99, TrialState.INFEASIBLE)]
    assert with_teachers(ASKING, trials, "maximize")[TEACHER] == 1
    assert with_teachers(ASKING, trials, "minimize")[TEACHER] == 0
    assert teacher_key(ASKING.replace({TEACHER: 2}), trials) == "key2"


def test_without_a_trial_the_recipe_is_tried_undistilled() -> None:
    assert with_teachers(ASKING, [], "maximize") == Recipe({"model": "mlp", "distill": "none"})


def test_a_named_teacher_is_kept_and_others_are_left_alone() -> None:
    named = ASKING.replace({TEACHER: 0})
    plain = Recipe({"model": "mlp", "distill": "none"})
    assert with_teachers(named, rows(0.1, 0.9), "maximize") == named
    assert with_teachers(plain, rows(0.1, 0.9), "maximize") == plain
    assert teacher_key(plain, rows(0.1)) == ""
    assert teacher_key(named, []) == ""


def test_three_teach_that_were_trained_apart() -> None:
    same = {"width": 64}
    trials: Any = [
        Row(0, 0.90, **same),
        Row(1, 0.91, quantize="static_int8", **same),
        Row(2, 0.70),
        Row(3, 0.80),
        Row(4, 0.60),
        Row(5, 0.99, TrialState.INFEASIBLE),
    ]
    found = with_teachers(ASKING_THREE, trials, "maximize")
    assert [found[name] for name in TEACHERS] == [1, 3, 2]
    assert teacher_key(found, trials) == joined(["key1", "key2", "key3"])
    assert teacher_key(found, trials[:3]) == ""
    fewer = with_teachers(ASKING_THREE, trials[:3], "maximize")
    assert [fewer.get(name) for name in TEACHERS] == [1, 2, None]
    assert teacher_key(fewer, trials) == joined(["key2", "key1"])
    assert fewer.asked == ASKING_THREE


def test_teachers_are_known_as_trials_end() -> None:
    teachers = Teachers("maximize")
    assert teachers.named_in(ASKING)["distill"] == "none"
    for row in rows(0.5, 0.9):
        teachers.note(row)
    named = teachers.named_in(ASKING)
    assert named[TEACHER] == 1
    assert teachers.key_of(named) == "key1"


@given(st.floats(0.1, 1.0), st.floats(1.0, 10.0), st.integers(2, 5), st.integers(0, 2**32 - 1))
def test_shares_add_up_and_lie_between_target_and_teacher(
    weight: float, temperature: float, classes: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    answers = random.dirichlet(np.ones(classes), size=20)
    target = random.integers(0, classes, size=20)
    shares = Distill(source="best", weight=weight, temperature=temperature).classes(target, answers)
    assert shares.dtype == np.float32
    assert np.allclose(shares.sum(axis=1), 1, atol=1e-5)
    assert (shares[np.arange(20), target] >= (1 - weight) - 1e-6).all()
    order = answers.argsort(axis=1)
    hard = np.eye(classes)[target]
    assert (np.diff(np.take_along_axis(shares - (1 - weight) * hard, order, axis=1), axis=1) >= -1e-6).all()


def test_a_higher_temperature_tells_more_of_the_second_best() -> None:
    answers, target = np.array([[0.9, 0.09, 0.01]]), np.array([0])
    cold, warm = (Distill(source="best", temperature=t).classes(target, answers)[0, 1] for t in (1.0, 4.0))
    assert warm > cold


def test_values_are_mixed_with_the_teachers() -> None:
    mixed = Distill(source="best", weight=0.25).values(np.array([0.0, 4.0]), np.array([[4.0], [0.0]]))
    assert mixed.tolist() == [1.0, 3.0]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return make_place(tmp_path_factory.mktemp("iris"), "demo:iris")


def flow_of(place: Place, recipe: Recipe, teacher: str = "") -> Flow:
    return Flow(
        snapshot=Snapshot.open(place.snapshot),
        store=Store(Path(place.store)),
        recipe=recipe,
        seed=1,
        slot=Slot(index=0),
        report=lambda stage, *, step=None, values=None: None,
        teacher_key=teacher,
    )


def test_a_taught_network_follows_its_teacher(place: Place) -> None:
    """With all of the weight on the teacher's word, a wrong teacher is followed against the data."""
    teacher = flow_of(place, recipe_of("decision_tree")).deployed()
    taught = recipe_of("mlp").replace({"distill": "best", "distill.weight": 1.0, TEACHER: 0, "mlp.epochs": 60})
    flow = flow_of(place, taught, teacher.key)
    data = flow._taught()
    assert data.shares is not None
    assert data.shares.shape == (data.train.rows, 3)
    wrong = replace(data, shares=np.roll(data.shares, 1, axis=1))
    model, context = flow._model(), flow._context()
    right, misled = (
        float((model.train(taught, context).valid_scores.argmax(axis=1) == data.valid_target).mean())
        for taught in (data, wrong)
    )
    assert right > 0.8
    assert misled < right - 0.2  # its best epoch is an early one, before it had learned what is wrong


def test_three_answer_with_their_mean(place: Place) -> None:
    flows = [flow_of(place, recipe_of(model)) for model in ("decision_tree", "linear")]
    keys = [flow.deployed().key for flow in flows]
    part = flows[0].snapshot.part("train")

    def said(key: str) -> Any:
        return teaching.answers(flows[0].store, key, flows[0].facts, part, threads=1)

    assert np.allclose(said(joined(keys)), (said(keys[0]) + said(keys[1])) / 2, atol=1e-6)
    assert joined(keys) == joined(reversed(keys))


def test_a_pruned_and_taught_network_asks_its_teacher_once(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    teacher = flow_of(place, recipe_of("decision_tree")).deployed()
    asked, answers = [], teaching.answers

    def counted(*words: Any, **named: Any) -> Any:
        asked.append(words[1])
        return answers(*words, **named)

    monkeypatch.setattr(teaching, "answers", counted)
    pruned = {"prune": "channels", "prune.share": 0.5, "prune.epochs": 1, "mlp.epochs": 2, "mlp.width": 32}
    flow = flow_of(place, recipe_of("mlp").replace({"distill": "best", TEACHER: 0, **pruned}), teacher.key)
    assert "weights left" in flow.deployed().path.joinpath("deployed.json").read_text()
    assert asked == [teacher.key]


def test_the_teacher_is_part_of_the_key_and_its_number_is_not(place: Place) -> None:
    taught = recipe_of("mlp").replace({"distill": "best"})
    keys = {
        flow_of(place, taught.replace({TEACHER: number}), teacher).keys.train
        for number, teacher in ((0, "a" * 64), (5, "a" * 64), (0, "b" * 64))
    }
    assert len(keys) == 2


def test_a_teacher_that_is_gone_fails_the_trial_in_words(place: Place) -> None:
    taught = recipe_of("mlp").replace({"distill": "best", TEACHER: 3})
    with pytest.raises(StageFailure, match=r"not in this home's store.*distill: none"):
        flow_of(place, taught).trained()
