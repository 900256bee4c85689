"""Loader workers: as many as asked for, in order, gone in the end, and of no influence on what is learned."""

import os
import threading
import time
from collections.abc import Iterator
from multiprocessing import resource_sharer
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from numpy.typing import NDArray

from autoopt.errors import StageFailure
from autoopt.files import Store
from autoopt.space.recipe import Recipe
from autoopt.strategies.learning.loader import Loader
from autoopt.strategies.learning.loader_source import LoaderSource, loading
from autoopt.strategies.learning.pinned_memory import PinnedMemory
from autoopt.strategies.learning.rows import Arrays, Rows
from autoopt.strategies.learning.source import Source
from autoopt.strategies.learning.storage import Storage
from autoopt.strategies.learning.storage_forms.memory import MemoryRows
from autoopt.values import FailureReason

CPU = torch.device("cpu")
ROWS = 50


class Signed(Rows):
    """Rows that say which process read them."""

    @property
    def rows(self) -> int:
        return ROWS

    def take(self, indices: NDArray[np.int64]) -> Arrays:
        return indices.copy(), np.full(len(indices), os.getpid())


class Dying(Signed):
    """At the third batch the worker hands nothing over any more and is still there, as for a moment in every death."""

    def take(self, indices: NDArray[np.int64]) -> Arrays:
        if indices.min() >= 8:
            time.sleep(0.5)  # torch hands batches over in a thread of the worker's
            resource_sharer.stop(timeout=5)
            time.sleep(60)
        return super().take(indices)


def source(rows: Rows, **fields: object) -> LoaderSource:
    target = torch.arange(rows.rows)
    return LoaderSource(rows, target, CPU, classifies=True, loader=Loader(**fields))  # type: ignore[arg-type]


def groups(seed: int = 0, size: int = 4) -> Iterator[torch.Tensor]:
    return iter(torch.randperm(ROWS, generator=torch.Generator().manual_seed(seed)).split(size))


def readers(found: Source) -> set[int]:
    return {int(pid) for batch in found.batches(groups()) for pid in batch.inputs[1]}


def children() -> set[int]:
    return {child.pid for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE}


def test_a_worker_that_dies_while_it_hands_a_batch_over_is_told_like_any_that_died() -> None:
    def read() -> None:
        with loading(source(Dying(), workers=1)) as found:
            batches = found.batches(iter(torch.arange(ROWS).split(4)))
            next(batches)
            time.sleep(2)
            list(batches)

    with pytest.raises(StageFailure, match="a loader worker died while it handed a batch over") as raised:
        read()
    assert raised.value.reason is FailureReason.CRASHED


class Hanging(Signed):
    """At the third batch every worker waits for what never comes."""

    def take(self, indices: NDArray[np.int64]) -> Arrays:
        if indices.min() >= 8:
            threading.Event().wait()
        return super().take(indices)


def test_workers_that_hang_are_told_and_gone() -> None:
    before = children()
    with (
        pytest.raises(StageFailure, match=r"gave no batch within its time .* loader\.hang_s gives it more") as raised,
        loading(source(Hanging(), workers=3, hang_s=1)) as found,
    ):
        list(found.batches(iter(torch.arange(ROWS).split(4))))
    assert raised.value.reason is FailureReason.HUNG
    assert children() == before


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_as_many_processes_read_as_there_are_workers(workers: int) -> None:
    before = children()
    with loading(source(Signed(), workers=workers)) as found:
        pids = readers(found)
        assert pids == ({os.getpid()} if workers == 0 else children() - before)
        assert len(pids) == max(workers, 1)
    assert children() == before


@pytest.mark.parametrize("workers", [0, 1, 3])
@pytest.mark.parametrize("prefetch", [1, 4])
def test_batches_come_in_the_order_of_the_groups(workers: int, prefetch: int) -> None:
    with loading(source(Signed(), workers=workers, prefetch=prefetch)) as found:
        for epoch in range(3):
            batches = list(found.batches(groups(epoch)))
            for batch, group in zip(batches, groups(epoch), strict=True):
                assert torch.equal(batch.inputs[0], group)
                assert torch.equal(batch.target, group)


@pytest.mark.parametrize("persistent", [True, False])
def test_persistent_workers_outlive_an_epoch(persistent: bool) -> None:
    before = children()
    with loading(source(Signed(), workers=2, persistent=persistent)) as found:
        first, second = readers(found), readers(found)
        assert (first == second) is persistent
        assert len(children() - before) == (2 if persistent else 0)
    assert children() == before


def test_an_epoch_that_is_broken_off_does_not_leak_into_the_next() -> None:
    with loading(source(Signed(), workers=2)) as found:
        for count, _ in enumerate(found.batches(groups(1))):
            if count == 2:
                break
        seen = torch.cat([batch.inputs[0] for batch in found.batches(groups(2))])
    assert torch.equal(seen, torch.cat(list(groups(2))))


@pytest.mark.parametrize("workers", [0, 2])
def test_the_last_array_is_the_target_where_no_other_is_given(workers: int) -> None:
    rows = MemoryRows([np.arange(ROWS, dtype=np.float32), np.arange(ROWS) % 3])
    with loading(LoaderSource(rows, None, CPU, classifies=True, loader=Loader(workers=workers))) as found:
        for batch, group in zip(found.batches(groups()), groups(), strict=True):
            assert torch.equal(batch.target, group % 3)
            assert [values.tolist() for values in batch.inputs] == [group.float().tolist()]


@pytest.mark.parametrize("form", ["memory", "memmap", "hdf5", "arrow", "encoded"])
def test_workers_read_every_form(form: str, tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (ROWS, 6, 5, 3), dtype=np.uint8)
    rows = Storage(form=form).rows((images,), Store(tmp_path), "c" * 64)
    with loading(source(rows, workers=2)) as found:
        for _ in range(2):
            for batch, group in zip(found.batches(groups()), groups(), strict=True):
                assert np.array_equal(batch.inputs[0].numpy(), images[group.numpy()])


def test_reading_by_workers_draws_nothing_from_the_random_state() -> None:
    state = torch.random.get_rng_state()
    with loading(source(Signed(), workers=1)) as found:
        readers(found)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_memory_is_pinned_for_gpus_alone() -> None:
    import dataclasses

    from support_network import facts_of

    from autoopt.task.facts import Kind, Modality
    from autoopt.values import Slot

    task = dataclasses.replace(facts_of(Kind.BINARY, 2), modality=Modality.IMAGES)
    assert PinnedMemory.applies(task, Slot(index=0, device="cuda")) is None
    assert "copies to a GPU" in str(PinnedMemory.applies(task, Slot(index=0)))
    with loading(LoaderSource(Signed(), None, CPU, classifies=True, loader=Loader(), pinned=True)) as found:
        assert not next(iter(found.batches(groups()))).inputs[0].is_pinned()


def test_a_recipe_configures_it() -> None:
    recipe = Recipe({"loader.workers": 2, "loader.persistent": False, "loader.prefetch": 4, "loader.hang_s": 9})
    assert Loader.from_recipe(recipe) == Loader(workers=2, persistent=False, prefetch=4, hang_s=9)
