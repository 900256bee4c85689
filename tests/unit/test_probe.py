"""Throughput probes: what they settle, what they leave alone, and that the training does not feel them."""

import random
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save
from support_pixels import image_context, image_facts, pictures

from autoopt.files import Store
from autoopt.space.domains import Value
from autoopt.space.recipe import Recipe
from autoopt.strategies import STRATEGIES
from autoopt.strategies.learning import probe as probing
from autoopt.strategies.learning.probe import Verdict, probe, settle
from autoopt.strategies.model import Trained
from autoopt.strategies.networks import speed
from autoopt.strategies.networks.exported import ExportedArtifact
from autoopt.strategies.networks.images.depthwise_net import DepthwiseNet
from autoopt.strategies.networks.learner import arrays
from autoopt.strategies.networks.speed import TrainingRig, open_choices, settled_speed
from autoopt.values import Slot

KIND = {"model": "x"}
CANDIDATES: Mapping[str, tuple[Value, ...]] = {"storage": ("memory", "memmap"), "loader.workers": (0, 1, 2)}
LONG = 1_000_000
"""Steps of a training that is worth any probe."""


class Paced:
    """A rig whose step takes as long as its recipe says."""

    def __init__(self, step_s: Callable[[Recipe], float]) -> None:
        self.step_s = step_s
        self.made: list[Recipe] = []
        self.open = 0

    def __call__(self, recipe: Recipe) -> "PacedRig":
        self.made.append(recipe)
        self.open += 1
        return PacedRig(self, self.step_s(recipe))


class PacedRig:
    def __init__(self, paced: Paced, step_s: float) -> None:
        self._paced, self._step_s = paced, step_s

    def steps(self, seconds: float) -> float:
        return self._step_s

    def close(self) -> None:
        self._paced.open -= 1


def fast_map(recipe: Recipe) -> float:
    """Maps help, and more so with two workers; one worker is no better than none."""
    return (0.5 if recipe["storage"] == "memmap" else 1.0) * (0.5 if recipe["loader.workers"] == 2 else 1.0)


def test_the_fastest_is_found_one_factor_at_a_time() -> None:
    paced = Paced(fast_map)
    verdict = probe(Recipe({}), CANDIDATES, paced, LONG)
    assert verdict.choices == {"storage": "memmap", "loader.workers": 2}
    assert verdict.gains == {"storage": 2.0, "loader.workers": 2.0}
    assert verdict.complete
    assert verdict.note == "settled by probe: storage=memmap 2.00x, loader.workers=2 2.00x"
    assert len(paced.made) == 4  # the defaults and three candidates, not the six that all pairs would be
    assert paced.open == 0


@pytest.mark.parametrize("step_s", [1.0, 0.98, 1.2], ids=["alike", "within the noise", "slower"])
def test_the_simpler_choice_stays_unless_another_is_clearly_faster(step_s: float) -> None:
    paced = Paced(lambda recipe: 1.0 if recipe["storage"] == "memory" else step_s)
    verdict = probe(Recipe({}), {"storage": ("memory", "memmap")}, paced, LONG)
    assert verdict.choices == {"storage": "memory"}
    assert verdict.note == "settled by probe: storage=memory"


def test_what_is_faster_in_some_turns_only_is_noise() -> None:
    turns = iter([1.0] * 4 + [9.0, 9.0, 1.0, 1.0, 9.0] * 2)

    class Noisy(PacedRig):
        def steps(self, seconds: float) -> float:
            return next(turns, 1.0)

    paced = Paced(lambda recipe: 1.0)
    rigs = iter([Noisy(paced, 0), PacedRig(paced, 1.0)])
    verdict = probe(Recipe({}), {"storage": ("memory", "memmap")}, lambda recipe: next(rigs), LONG)
    assert verdict.choices == {"storage": "memory"}


def test_a_short_training_is_not_probed() -> None:
    paced = Paced(fast_map)
    verdict = probe(Recipe({}), CANDIDATES, paced, total_steps=4)  # of a second each: 5 % is less than a quarter
    assert verdict.choices == {"storage": "memory", "loader.workers": 0}
    assert len(paced.made) == 1
    assert not verdict.complete
    assert verdict.note == "not probed, the training is short: storage=memory, loader.workers=0"


@pytest.mark.parametrize(("total_steps", "tried"), [(299, False), (301, True)])
def test_compiling_is_tried_for_long_trainings_only(total_steps: int, tried: bool) -> None:
    paced = Paced(lambda recipe: 0.5 if recipe["compile"] == "default" else 1.0)
    verdict = probe(Recipe({}), {"compile": ("none", "default")}, paced, total_steps)
    assert verdict.choices == {"compile": "default" if tried else "none"}
    assert verdict.complete is tried
    assert len(paced.made) == 1 + tried


@pytest.mark.parametrize(("longest_s", "tried"), [(80.0, False), (400.0, True)])
def test_steps_that_a_training_has_no_time_for_are_not_worth_compiling(longest_s: float, tried: bool) -> None:
    paced = Paced(lambda recipe: 0.5 if recipe["compile"] == "default" else 1.0)
    verdict = probe(Recipe({}), {"compile": ("none", "default")}, paced, LONG, longest_s=longest_s)
    assert verdict.choices == {"compile": "default" if tried else "none"}
    assert verdict.expected_s == longest_s


def test_a_step_that_takes_the_probes_time_is_taken_once() -> None:
    taken: list[float] = []

    class Slow(PacedRig):
        def steps(self, seconds: float) -> float:
            taken.append(seconds)
            return 5.0

    paced = Paced(lambda recipe: 5.0)
    probe(Recipe({}), {"compile": ("none", "default")}, lambda recipe: Slow(paced, 5.0), LONG, longest_s=80.0)
    assert taken == [0.0]


def verdict_of(choice: Value, *, complete: bool = True) -> Verdict:
    gains = {"storage": 1.0}
    return Verdict(choices={"storage": choice}, gains=gains, expected_s=1.0, seconds=1.0, measured=1, complete=complete)


def never() -> Verdict:
    raise AssertionError("measured again")


def test_a_verdict_is_kept_for_machine_and_architecture(tmp_path: Path) -> None:
    store = Store(tmp_path)
    found = settle(KIND, CANDIDATES, 100, store, lambda: verdict_of("memmap"))
    assert settle(KIND, CANDIDATES, 100, store, never) == found
    assert [stage for stage, *_ in store.entries()] == [probing.STAGE]
    other = settle({"model": "y"}, CANDIDATES, 100, store, lambda: verdict_of("memory"))
    assert other.choices != found.choices
    fewer = {"storage": ("memory", "memmap")}
    assert settle(KIND, fewer, 100, store, lambda: verdict_of("memory")).choices == {"storage": "memory"}


def test_a_long_training_takes_over_a_whole_verdict_only(tmp_path: Path) -> None:
    store = Store(tmp_path)
    settle(KIND, CANDIDATES, 10, store, lambda: verdict_of("memory", complete=False))
    assert settle(KIND, CANDIDATES, LONG, store, lambda: verdict_of("memmap")).choices == {"storage": "memmap"}
    assert settle(KIND, CANDIDATES, LONG // 50, store, never).choices == {"storage": "memmap"}
    assert settle(KIND, CANDIDATES, 10, store, never).choices == {"storage": "memory"}  # as it began


def network(epochs: int = 2) -> DepthwiseNet:
    return DepthwiseNet(width=8, depth=1, epochs=epochs, patience=1, dropout=0.3)


@pytest.fixture
def rigs(monkeypatch: pytest.MonkeyPatch) -> list[Recipe]:
    """Recipes of the trainings that were made to be measured. They are not compiled: that takes minutes."""
    made: list[Recipe] = []
    before = TrainingRig.__init__

    def noted(self, network, data, context, device):  # type: ignore[no-untyped-def]
        made.append(context.recipe)
        before(self, network, data, context, device)

    monkeypatch.setattr(TrainingRig, "__init__", noted)
    monkeypatch.setattr(probing, "COMPILE_FROM_S", 1e9)
    monkeypatch.setattr(probing, "LEAST_S", 0.0)
    monkeypatch.setattr(probing, "CANDIDATE_S", 0.02)
    monkeypatch.setattr(probing, "SHARE", 1e9)
    return made


def digest(trained: Trained) -> bytes:
    assert isinstance(trained.artifact, ExportedArtifact)
    return save(dict(trained.artifact.weights))


def test_every_choice_of_speed_is_open_unless_the_recipe_has_it() -> None:
    data, recipe = pictures(), {"memory_format": "contiguous"}
    assert "memory_format" in open_choices(data, image_context({}, None), held_bytes=1 << 60)
    found = open_choices(data, image_context(recipe, None, threads=2), held_bytes=1 << 60)
    assert found.keys() - {"compile"} == {"storage", "loader.workers"}
    assert found["storage"] == ("memmap", "hdf5", "arrow", "encoded")  # they do not fit into memory
    assert found["loader.workers"] == (0, 1, 2)  # up to the slot's threads
    alone = open_choices(data, image_context({}, None, threads=1), held_bytes=1 << 60)
    assert alone["loader.workers"] == (0, 1)


def test_rows_that_fit_into_memory_are_read_from_there() -> None:
    found = open_choices(pictures(), image_context({}, None), held_bytes=1 << 20)
    assert (found["storage"], found["loader.workers"]) == (("memory",), (0,))
    pinned = open_choices(pictures(), image_context({"storage": "memmap"}, None), held_bytes=1 << 20)
    assert pinned["loader.workers"] == (0, 1)


def test_a_verdict_is_measured_once_and_noted(rigs: list[Recipe], tmp_path: Path) -> None:
    context = image_context({"storage": "memmap"}, Store(tmp_path))
    settled, notes = settled_speed(network(), pictures(), context)
    tried = {(str(r["memory_format"]), r["loader.workers"]) for r in rigs}
    assert {workers for _, workers in tried} == {0, 1}
    assert {order for order, _ in tried} == {"contiguous", "channels_last"}
    assert notes[0].startswith("settled by probe: ")
    assert all(recipe["storage"] == "memmap" for recipe in rigs)  # pinned: not probed
    count = len(rigs)
    again, told = settled_speed(network(), pictures(), context)
    assert (again.recipe, told) == (settled.recipe, notes)
    assert len(rigs) == count
    assert not list((tmp_path / "working").iterdir())  # forms that were written to be measured are gone


def test_nothing_is_measured_where_the_recipe_decides(rigs: list[Recipe], tmp_path: Path) -> None:
    pins: dict[str, Value] = {"storage": "encoded", "loader.workers": 0, "memory_format": "contiguous"}
    context = image_context({**pins, "compile": "none"}, Store(tmp_path))
    assert settled_speed(network(), pictures(), context) == (context, ())
    assert not rigs


def test_nothing_is_measured_without_a_place_for_the_verdict(rigs: list[Recipe]) -> None:
    settled, notes = settled_speed(network(), pictures(), image_context({}, None))
    assert not rigs
    assert notes == ()
    assert "memory_format" not in settled.recipe


def test_the_training_does_not_feel_the_probe(rigs: list[Recipe], tmp_path: Path) -> None:
    data, store = pictures(), Store(tmp_path)
    torch.manual_seed(3)
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    probed = network().train(data, image_context({"storage": "memmap"}, store))
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before[1:]
    assert any(note.startswith("settled by probe") for note in probed.notes)
    chosen, _ = settled_speed(network(), data, image_context({"storage": "memmap"}, store))
    count = len(rigs)
    assert count > 1
    plain = network().train(data, image_context(dict(chosen.recipe), Store(tmp_path / "other")))
    assert len(rigs) == count
    assert digest(plain) == digest(probed)


def test_weights_hang_on_neither_form_nor_workers(tmp_path: Path) -> None:
    data, store = pictures(), Store(tmp_path)
    pins: dict[str, Value] = {"memory_format": "contiguous", "compile": "none"}

    def weights(form: str, workers: int) -> bytes:
        recipe = {**pins, "storage": form, "loader.workers": workers}
        with network().learning(data, image_context(recipe, store)) as (trained, *_):
            return save(arrays(trained))

    expected = weights("memory", 0)
    assert weights("memory", 2) == expected
    assert weights("encoded", 0) == expected
    assert weights("memmap", 2) == expected


def test_strategies_of_speed_are_declared_so() -> None:
    names = {strategy.name for strategy in STRATEGIES if strategy.speed_only}
    assert names >= {"memory_format", "compile", "storage", "loader", "pinned_memory"}
    assert not names & {"batch_size", "precision", "optimizer"}
    for strategy in STRATEGIES:
        for name, values in strategy.candidates(image_facts(), Slot(index=0, device="cuda", threads=4)).items():
            declared = {d.name: d for d in strategy.declarations()}[name]
            assert values[0] == declared.default
            assert all(declared.domain.contains(value) for value in values)


def test_the_sample_has_two_batches_at_least(tmp_path: Path) -> None:
    data = pictures(rows=600)
    assert speed.sampled(data, network(), Recipe({"batch_size": 16})).train.rows == 400
    assert speed.sampled(pictures(rows=9000), network(), Recipe({"batch_size": 16})).train.rows == speed.SAMPLE_ROWS
    assert speed.sampled(pictures(rows=9000), network(), Recipe({"batch_size": 2048})).train.rows == 4096
