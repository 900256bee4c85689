"""Batches that are read from stored rows, by this process or by loader workers."""

import contextlib
import gc
import sys
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data._utils import signal_handling

from autoopt.errors import StageFailure
from autoopt.strategies.learning.rows import Rows
from autoopt.strategies.learning.source import Batch, Source
from autoopt.values import FailureReason

if TYPE_CHECKING:
    from autoopt.strategies.learning.loader import Loader

RAISED_IN_A_WORKER = " in DataLoader worker process "
Taken = tuple[NDArray[np.int64], tuple[Tensor, ...]]


@final
class LoaderSource(Source):
    """Reads the rows of each batch when they are due, or ahead of that in worker processes."""

    def __init__(
        self,
        rows: Rows,
        target: Tensor | None,
        device: torch.device,
        *,
        classifies: bool,
        loader: "Loader",
        pinned: bool = False,
    ) -> None:
        """Targets are `target` (rows, ...) where they are known beforehand, else the last of the rows' arrays."""
        self._rows = rows
        self._target = target
        self._device = device
        self._classifies = classifies
        self._pinned = pinned and device.type == "cuda"
        self._groups = _Groups()
        self._workers = loader.workers
        self._loader = _data_loader(rows, self._groups, loader, self._pinned) if loader.workers else None
        self._persistent = loader.persistent
        self._iterator: Any = None

    def __len__(self) -> int:
        return self._rows.rows

    @property
    def device(self) -> torch.device:
        return self._device

    @property
    def classifies(self) -> bool:
        return self._classifies

    def batches(self, groups: Iterator[Tensor]) -> Iterator[Batch]:
        numbers = (rows.cpu().numpy() for rows in groups)
        taken = self._read_here(numbers) if self._loader is None else self._read_by_workers(numbers)
        for chosen, inputs in taken:
            yield self._batch(chosen, inputs)

    def close(self) -> None:
        """End the workers, those that hang too."""
        iterator, self._iterator = self._iterator, None
        if iterator is not None:
            if not self._pinned:  # torch's thread that pins would wait for the rest of what a worker was writing
                _kill_workers(iterator)
            iterator._shutdown_workers()  # what its own end would do, but now
            for worker in iterator._workers:
                worker.kill()

    def _read_here(self, groups: Iterator[NDArray[np.int64]]) -> Iterator[Taken]:
        for chosen in groups:
            inputs = tuple(torch.from_numpy(values) for values in self._rows.take(chosen))
            yield chosen, tuple(values.pin_memory() for values in inputs) if self._pinned else inputs

    def _read_by_workers(self, groups: Iterator[NDArray[np.int64]]) -> Iterator[Taken]:
        self._groups.due = groups
        if not self._persistent:
            self.close()
        if self._iterator is None:
            gc.collect()  # or a forked worker would finalize this process's garbage a first time
        with _more_than_cores():
            self._iterator = iter(self._loader)  # type: ignore[arg-type]
        with _broken_connections_told():
            yield from self._iterator

    def _batch(self, chosen: NDArray[np.int64], inputs: tuple[Tensor, ...]) -> Batch:
        placed = tuple(values.to(self._device, non_blocking=self._pinned) for values in inputs)
        if self._target is None:
            return Batch(inputs=placed[:-1], target=placed[-1])
        rows = torch.from_numpy(chosen).to(self._target.device)
        return Batch(inputs=placed, target=self._target[rows].to(self._device))


@contextlib.contextmanager
def loading(source: Source) -> Iterator[Source]:
    """Close the source in the end. A loader worker that died or hangs becomes a StageFailure."""
    with contextlib.closing(source), failures_told():
        yield source


@contextlib.contextmanager
def failures_told() -> Iterator[None]:
    """A loader worker that died or hangs becomes a StageFailure.

    torch tells of a dead worker by an exception out of a signal handler, so it can come at any line of the training.
    """
    try:
        yield
    except RuntimeError as error:
        text = str(error)
        if not text.startswith("DataLoader"):
            raise
        if "timed out" in text:
            message = (
                f"a loader worker gave no batch within its time ({text}): does reading a row wait for something? "
                "loader.hang_s gives it more."
            )
            raise StageFailure(FailureReason.HUNG, message) from error
        raise StageFailure(FailureReason.CRASHED, f"a loader worker died: {text}") from error


@contextlib.contextmanager
def _broken_connections_told() -> Iterator[None]:
    """A worker that dies while it hands a batch over breaks the connection, before torch has heard of its death.

    What reading a row raised in a worker is passed on by torch with a text that has RAISED_IN_A_WORKER in it.
    """
    try:
        yield
    except (OSError, EOFError) as error:
        if RAISED_IN_A_WORKER in str(error):
            raise
        message = f"a loader worker died while it handed a batch over ({type(error).__name__}: {error})"
        raise StageFailure(FailureReason.CRASHED, message) from error


def _kill_workers(iterator: Any) -> None:
    """They hold nothing that would have to be kept, and torch gives each that hangs or reads ahead five seconds.

    It takes every death of a worker that it knows for a failure, so it has to forget them first.
    """
    if iterator._worker_pids_set:
        signal_handling._remove_worker_pids(id(iterator))
        iterator._worker_pids_set = False
    for worker in iterator._workers:
        worker.kill()


@final
class _Groups:
    """The row numbers of an epoch's batches, for a loader that lives longer than the epoch."""

    def __init__(self) -> None:
        self.due: Iterator[NDArray[np.int64]] = iter(())

    def __iter__(self) -> Iterator[NDArray[np.int64]]:
        return self.due


@final
class _Items:
    """Whole batches as items: a worker reads the rows of one at a time."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def __getitem__(self, chosen: NDArray[np.int64]) -> Taken:
        return chosen, tuple(torch.from_numpy(values) for values in self._rows.take(chosen))


def _as_it_is(taken: Taken) -> Taken:
    return taken


def _data_loader(rows: Rows, groups: _Groups, loader: "Loader", pinned: bool) -> "DataLoader[Taken]":
    with _more_than_cores():
        return DataLoader(
            _Items(rows),
            sampler=groups,  # any iterable will do where nobody asks for its length
            batch_size=None,
            num_workers=loader.workers,
            prefetch_factor=loader.prefetch,
            persistent_workers=loader.persistent,
            collate_fn=_as_it_is,
            pin_memory=pinned,
            timeout=loader.hang_s,
            # Its own: a draw from torch's generator would make the weights hang on the number of workers.
            generator=torch.Generator(),
            # A fork starts in milliseconds. torch's threads do not survive it: a worker computes on its only one.
            multiprocessing_context="fork" if sys.platform == "linux" else "spawn",
        )


@contextlib.contextmanager
def _more_than_cores() -> Iterator[None]:
    """More workers than cores are asked for on purpose: torch's warning of it is not passed on."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "This DataLoader will create", UserWarning)
        yield
