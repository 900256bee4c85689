"""Prepare: raw rows become what models learn from, and the same step becomes a graph. One module for each modality."""

from collections.abc import Mapping
from typing import Final

from autoopt.stages.preparing.base import LoadJob, PrepareJob, Preparer
from autoopt.stages.preparing.graph import GraphPreparer
from autoopt.stages.preparing.images import ImagePreparer
from autoopt.stages.preparing.module import ModulePreparer
from autoopt.stages.preparing.tables import TablePreparer
from autoopt.stages.preparing.text import TextPreparer
from autoopt.task.facts import Modality

PREPARERS: Final[Mapping[Modality, Preparer]] = {
    Modality.TABULAR: TablePreparer(),
    Modality.IMAGES: ImagePreparer(),
    Modality.MODULE: ModulePreparer(),
    Modality.TEXT: TextPreparer(),
    Modality.GRAPH: GraphPreparer(),
}

__all__ = ["PREPARERS", "LoadJob", "PrepareJob", "Preparer"]
