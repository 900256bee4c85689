"""Trials that take several slots: all at once or none, nobody starves, and what comes back is used."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support_loop import DONE, Ending, ScriptedExecutor, Sessions
from support_space import small_catalogue

from autoopt.executors import SlotFreed
from autoopt.orchestrator import StopReason
from autoopt.orchestrator.gangs import one_process, slots_for
from autoopt.space import Catalogue, Recipe, Space, parse_space
from autoopt.strategies.learning.parallel import Parallel
from autoopt.values import Rank, Slot

TOGETHER = {"parallel": "ddp", "parallel.ranks": 2}


def space(*forms: str) -> Space:
    text = f"""
name: gangs
dimensions:
  model: [net]
  net.width: {{low: 8, high: 1024, log: true}}
  net.norm: [true]
  fill: [median]
  rule: [adam]
  rule.learning_rate: [0.01]
  shrink: [none]
  parallel: [{", ".join(forms)}]
  parallel.ranks: [2]
portfolio:
  - {{model: net}}
"""
    own = [dataclasses.replace(declared, when=()) for declared in Parallel.declarations()]
    return parse_space(text, Catalogue([*small_catalogue().declarations.values(), *own]), source="gangs")


def sessions(folder: Path, *forms: str, slots: int, trials: int) -> Sessions:
    made = Sessions(folder=folder, planner="random", slots=slots, trials=trials, space=space(*forms))
    made.create()
    return made


def shape_of(executor: ScriptedExecutor) -> list[tuple[str, int]]:
    """What each job asked for, and how many slots it got."""
    return [(str(job.payload["recipe"]["parallel"]), 1 + len(job.peers)) for job in executor.jobs]


def test_a_trial_that_wants_two_slots_has_them_and_others_have_one(tmp_path: Path) -> None:
    made = sessions(tmp_path, "none", "ddp", slots=3, trials=12)
    executor = made.executor(lambda recipe, _: Ending(after_polls=1 + len(str(recipe["net.width"]))))
    assert made.run(executor) is StopReason.TRIALS
    assert set(shape_of(executor)) == {("none", 1), ("ddp", 2)}
    assert made.states() == ["complete"] * 12


def test_nothing_overtakes_a_gang_that_waits(tmp_path: Path) -> None:
    made = sessions(tmp_path, "none", "ddp", slots=2, trials=12)
    executor = made.executor(lambda recipe, _: Ending(after_polls=1 + int(recipe["net.width"]) % 3))
    made.run(executor)
    begun = [Recipe(job.payload["recipe"]).sha256 for job in executor.jobs]
    assert begun == [row.recipe_sha256 for row in made.rows()]
    assert ("ddp", 2) in shape_of(executor)


def test_a_gang_takes_what_there_is(tmp_path: Path) -> None:
    made = sessions(tmp_path, "ddp", slots=1, trials=2)
    executor = made.executor()
    assert made.run(executor) is StopReason.TRIALS
    assert shape_of(executor) == [("ddp", 1)] * 2


def test_a_slot_that_comes_back_is_used_while_its_trial_goes_on(tmp_path: Path) -> None:
    made = sessions(tmp_path, "ddp", "none", slots=2, trials=8)
    executor = made.executor(lambda recipe, _: Ending(after_polls=6) if recipe["parallel"] == "ddp" else DONE)
    beside: list[str] = []

    def free() -> None:
        gangs = [job for job, _, polls in executor.at_work if job.peers and polls == 2]
        executor.extra = [SlotFreed(token=job.token, slot=job.peers[0]) for job in gangs]
        executor.freed |= {(job.token, job.peers[0]) for job in gangs}
        if len(executor.at_work) > 1 and any(job.peers for job, _, _ in executor.at_work):
            beside.append("two trials at work, one of them a gang")

    executor.on_poll = free
    assert made.run(executor) is StopReason.TRIALS
    assert beside
    assert made.states() == ["complete"] * 8


# ---- which slots -----------------------------------------------------------------------------------------------------

CPU = tuple(Slot(index=i, peers=4) for i in range(4))
IMAGES: Mapping[str, Any] = {"model": "residual_net"}


@given(ranks=st.integers(2, 8), free=st.sets(st.integers(0, 3), min_size=1))
def test_a_gang_has_as_many_as_it_wants_or_none(ranks: int, free: set[int]) -> None:
    slots = tuple(CPU[i] for i in sorted(free))
    chosen = slots_for(Recipe({**IMAGES, "parallel": "ddp", "parallel.ranks": ranks}), CPU, slots)
    assert set(chosen) <= set(slots)
    assert len(chosen) == (min(ranks, 4) if len(slots) >= min(ranks, 4) else 0)


@pytest.mark.parametrize(
    ("recipe", "free", "slots"),
    [
        pytest.param({**IMAGES}, CPU, 4, id="open and all idle: they find out"),
        pytest.param({**IMAGES}, CPU[1:], 1, id="open and one at work"),
        pytest.param({**IMAGES, "parallel": "none"}, CPU, 1, id="decided"),
        pytest.param({"model": "mlp"}, CPU, 1, id="a table"),
        pytest.param({"model": "lightgbm"}, CPU, 1, id="no network"),
        pytest.param({**IMAGES}, (Slot(index=0, device="mps"),), 1, id="a device without a way"),
    ],
)
def test_a_recipe_that_leaves_it_open_begins_with_all_slots_or_one(
    recipe: Mapping[str, Any], free: tuple[Slot, ...], slots: int
) -> None:
    every = CPU if free[0] in CPU else free
    assert slots_for(Recipe(recipe), every, free) == free[:slots]


def test_slots_of_another_kind_do_not_count() -> None:
    mixed = (Slot(index=0, device="cuda", peers=2), Slot(index=1, device="xpu"), Slot(index=2, device="cuda", peers=2))
    assert slots_for(Recipe({**IMAGES, **TOGETHER}), mixed, mixed) == (mixed[0], mixed[2])
    assert slots_for(Recipe({**IMAGES, **TOGETHER}), mixed, mixed[:2]) == ()


def test_one_process_can_have_several_devices() -> None:
    gpus = tuple(Slot(index=i, device="cuda", device_index=3 - i, peers=3) for i in range(3))
    recipe = Recipe({**IMAGES, "parallel": "data_parallel", "parallel.ranks": 2})
    chosen = slots_for(recipe, gpus, gpus)
    assert one_process(recipe, chosen) == Rank(number=0, size=1, devices=(3, 2))
    assert one_process(recipe, gpus[:1]) is None
    assert one_process(Recipe({**IMAGES, **TOGETHER}), chosen) is None
