"""Seconds of a training: those of every process that worked at it, not of the last one alone."""

import dataclasses
import time
from pathlib import Path

import pytest
from support_learning import CutOff, CutOffError
from support_network import Reports, context, task

from autoopt.files import Store, StoreEntry
from autoopt.space.domains import Value
from autoopt.stages import train as training
from autoopt.strategies.networks.mlp import MLP
from autoopt.task.facts import Kind

EPOCH_S = 60.0
MODEL = MLP(width=32, depth=1, epochs=5)
PRUNE: dict[str, Value] = {"prune": "magnitude", "prune.steps": 2, "prune.epochs": 2}


class Trials:
    """Trainings and prunings in one store, by a clock that moves with each epoch's report."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder = folder
        self._store = Store(folder / "store")
        self._data = task(Kind.BINARY)
        self._now = 0.0
        monkeypatch.setattr(time, "monotonic", lambda: self._now)

    def train(self, key: str, reports: Reports) -> StoreEntry:
        with self._store.make("train", key * 64) as folder:
            training.train(MODEL, self._data, self._context(key, reports), folder)
        return self._entry("train", key)

    def shrink(self, key: str, trained: StoreEntry, reports: Reports) -> StoreEntry:
        with self._store.make("shrink", key * 64) as folder:
            training.shrink(MODEL, trained, self._data, self._context(key, reports, PRUNE), folder)
        return self._entry("shrink", key)

    def _context(self, key: str, reports: Reports, recipe: dict[str, Value] | None = None) -> training.TrainingContext:
        def report(step: int, values: dict[str, float]) -> None:
            self._now += EPOCH_S
            reports(step, values)

        return dataclasses.replace(context(recipe), report=report, checkpoints=self._folder / key)

    def _entry(self, stage: str, key: str) -> StoreEntry:
        entry = self._store.find(stage, key * 64)
        assert entry is not None
        return entry


@pytest.fixture
def trials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trials:
    return Trials(tmp_path, monkeypatch)


def test_a_training_that_went_on_counts_what_it_took_before(trials: Trials) -> None:
    with pytest.raises(CutOffError):
        trials.train("a", CutOff(3))
    assert training.load_info(trials.train("a", Reports())).train_s == 5 * EPOCH_S


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_a_pruning_that_went_on_counts_it_too_and_its_training(trials: Trials, cut: int) -> None:
    trained = trials.train("a", Reports())
    with pytest.raises(CutOffError):
        trials.shrink("b", trained, CutOff(cut))
    reports = Reports()
    info = training.load_info(trials.shrink("b", trained, reports))
    assert info.train_s == (5 + 4) * EPOCH_S
    assert [step for step, _ in reports.seen] == list(range(cut + 1, 5))
    assert "fine-tuning went on from what an earlier attempt had kept" in info.notes
