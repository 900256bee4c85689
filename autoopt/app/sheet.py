"""A few images of each class, for the report."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from autoopt.errors import DataError
from autoopt.task.facts import Modality, TaskFacts

CLASSES = 10
EACH = 6
SIDE = 64
"""Pixels that are shown of a side, at most: of larger images every second, third, ... pixel."""


def contact_sheet(snapshot: str | Path, facts: TaskFacts) -> Mapping[str, tuple[str, ...]]:
    """Images of the valid part as data URIs, by class; {} for other data, or where the snapshot is gone."""
    if facts.modality is not Modality.IMAGES:
        return {}
    from autoopt.stages.sample import data_uri  # opens data: pandas, which tables' reports do without
    from autoopt.task.snapshot import Snapshot

    try:
        part = Snapshot.open(snapshot).part("valid")
    except DataError:
        return {}
    pixels, every = part.tensors[0], -(-max(facts.tensors[0].shape[:2]) // SIDE)
    rows = {label: np.flatnonzero(part.target == k) for k, label in enumerate(facts.classes[:CLASSES])}
    rows = rows or {facts.target: np.arange(part.rows)}
    return {
        label: tuple(data_uri(np.ascontiguousarray(pixels[int(row), ::every, ::every])) for row in found[:EACH])
        for label, found in rows.items()
    }
