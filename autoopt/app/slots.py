"""How many trials run at a time, by what is learned."""

from collections.abc import Mapping
from typing import Final

from autoopt.devices import Machine, machine, slots
from autoopt.task.facts import Modality
from autoopt.values import Slot

THREADS_EACH: Final[Mapping[Modality, int]] = {Modality.IMAGES: 4, Modality.MODULE: 4, Modality.GRAPH: 4}
"""Trainings that take minutes run on several threads rather than side by side: on two cores, one training of a residual
network on both made 7 % more images a second than two on one each, and the first result is there in half the time."""


def slots_for(modality: Modality, requested: int | None, found: Machine | None = None) -> tuple[Slot, ...]:
    """This machine's slots. Raises OptionError for a number that it does not have."""
    return slots(found or machine(), requested, threads_each=THREADS_EACH.get(modality, 1))
