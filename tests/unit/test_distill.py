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
from autoopt.orchestrator.teacher import teacher_key, with_teacher
from autoopt.space.recipe import Recipe
from autoopt.stages.flow import Flow
from autoopt.strategies.learning.distill import TEACHER, Distill
from autoopt.task.snapshot import Snapshot
from autoopt.values import Measurement, Slot, TrialState

ASKING = Recipe({"model": "mlp", "distill": "best", "distill.weight": 0.5})


@dataclass(frozen=True)
class Row:
    """As much of a trial's row as the choice looks at."""

    number: int
    quality: float
    state: TrialState = TrialState.COMPLETE

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
    assert with_teacher(ASKING, trials, "maximize")[TEACHER] == 1
    assert with_teacher(ASKING, trials, "minimize")[TEACHER] == 0
    assert teacher_key(ASKING.replace({TEACHER: 2}), trials) == "key2"


def test_without_a_trial_the_recipe_is_tried_undistilled() -> None:
    assert with_teacher(ASKING, [], "maximize") == Recipe({"model": "mlp", "distill": "none"})


def test_a_named_teacher_is_kept_and_others_are_left_alone() -> None:
    named = ASKING.replace({TEACHER: 0})
    plain = Recipe({"model": "mlp", "distill": "none"})
    assert with_teacher(named, rows(0.1, 0.9), "maximize") == named
    assert with_teacher(plain, rows(0.1, 0.9), "maximize") == plain
    assert teacher_key(plain, rows(0.1)) == ""
    assert teacher_key(named, []) == ""


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
    taught = recipe_of("mlp").replace({"distill": "best", "distill.weight": 1.0, TEACHER: 0, "mlp.epochs": 20})
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
