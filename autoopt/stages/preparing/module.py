"""The user's own datasets: train as arrays where its items are always the same, else some rows for calibration."""

from pathlib import Path
from typing import final

import numpy as np

from autoopt.errors import StageFailure
from autoopt.stages.preparing.base import LoadJob, PrepareJob, Preparer
from autoopt.strategies.networks.own_task import training_items
from autoopt.strategies.prepared import Arrays
from autoopt.task.module.items import seed_everything
from autoopt.task.spreading import spread_rows
from autoopt.values import FailureReason

CALIBRATION_ROWS = 1024
TARGET = "train_target.npy"


@final
class ModulePreparer(Preparer):
    """Tensors as the datasets give them; the module's graph takes them as they are."""

    def prepare(self, job: PrepareJob, folder: Path) -> None:
        if job.facts.module_facts is None:
            raise StageFailure(FailureReason.ERROR, "The task has no module of the user's own.")
        seed_everything(job.seed)
        with training_items(job.facts) as items:
            rows = np.arange(len(items)) if job.facts.module_facts.held else spread_rows(len(items), CALIBRATION_ROWS)
            values, target = items.arrays(rows)
        for k, array in enumerate(values):
            np.save(folder / _file(k), array)
        np.save(folder / TARGET, target)

    def graph(self, folder: Path) -> None:
        return None

    def load(self, job: LoadJob) -> Arrays:
        names = tuple(t.name for t in job.facts.tensors)
        if job.part_name != "train":
            return Arrays(names=names, values=job.part.tensors, target=job.part.target, whole=True)
        return Arrays(
            names=names,
            # copy-on-write: torch warns of arrays that cannot be written
            values=tuple(
                np.asarray(np.load(job.folder / _file(k), mmap_mode="c", allow_pickle=False)) for k in range(len(names))
            ),
            target=np.load(job.folder / TARGET, allow_pickle=False),
            whole=job.facts.module_facts is not None and job.facts.module_facts.held,
        )


def _file(k: int) -> str:
    return f"train_tensor{k}.npy"
