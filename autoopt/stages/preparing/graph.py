"""Rows for a graph of the user's own, which takes raw inputs: there is nothing to prepare."""

from pathlib import Path
from typing import final

from autoopt.stages.preparing.base import LoadJob, PrepareJob, Preparer
from autoopt.stages.rows import columns_of
from autoopt.strategies.deploying.brought import GraphRows


@final
class GraphPreparer(Preparer):
    """Rows as the snapshot has them."""

    def prepare(self, job: PrepareJob, folder: Path) -> None:
        """The snapshot holds them already."""

    def graph(self, folder: Path) -> None:
        return None

    def load(self, job: LoadJob) -> GraphRows:
        columns = columns_of(job.facts, job.part)
        return GraphRows(inputs=job.facts.tensors, values=job.part.tensors, columns=columns)
