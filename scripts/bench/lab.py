"""Recipes taken through the stages of a trial, without a study."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from autoopt.files import Store
from autoopt.space import Recipe
from autoopt.stages.flow import Flow
from autoopt.task import Snapshot, TaskOptions, prepare_task
from autoopt.values import Slot


@dataclass(frozen=True, kw_only=True)
class Lab:
    """A task on disk, a store, and so many threads."""

    snapshot: Snapshot
    store: Store
    threads: int = 1

    @classmethod
    def of(cls, data: Any, options: TaskOptions, folder: Path, *, threads: int = 1) -> Self:
        """Of `data` as a search takes it, kept in `folder`."""
        prepare_task(data, options).save(folder)
        return cls(snapshot=Snapshot.open(folder), store=Store(folder / "store"), threads=threads)

    def flow(self, recipe: Mapping[str, Any]) -> Flow:
        return Flow(
            snapshot=self.snapshot,
            store=self.store,
            recipe=Recipe(recipe),
            seed=0,
            slot=Slot(index=0, threads=self.threads),
            report=lambda stage, *, step=None, values=None: None,
        )
