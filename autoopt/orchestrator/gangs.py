"""Which slots a trial gets: one, or all that its training takes together."""

from collections.abc import Sequence

from autoopt.space.recipe import Recipe
from autoopt.strategies import models
from autoopt.strategies.learning.parallel import DATA_PARALLEL, NONE, Parallel
from autoopt.task.facts import Modality
from autoopt.values import Rank, Slot


def slots_for(recipe: Recipe, slots: Sequence[Slot], free: Sequence[Slot]) -> tuple[Slot, ...]:
    """Of the free slots (one or more) those for a trial of this recipe, its leader's first; () when it has to wait.

    A gang is all or nothing: it waits until as many slots as it wants are free. Whoever hands out slots lets nothing
    overtake it meanwhile, or there would always be one too few. It never wants more than there are.

    A recipe that leaves `parallel` open never waits. Where no slot is at work it gets all of them, and its training
    finds out whether they stay together: if not, all but one come back before it begins.
    """
    device = free[0].device
    alike = tuple(slot for slot in free if slot.device == device)
    there_are = sum(slot.device == device for slot in slots)
    if Parallel.name not in recipe:
        together = len(alike) == there_are and device in Parallel.devices and _can_be_shared(recipe)
        return alike[: Parallel.most_ranks] if together else alike[:1]
    parallel = Parallel.from_recipe(recipe)
    if parallel.form == NONE:
        return alike[:1]
    wanted = min(parallel.ranks, there_are)
    return alike[:wanted] if len(alike) >= wanted else ()


def one_process(recipe: Recipe, slots: Sequence[Slot]) -> Rank | None:
    """The process that has all the slots of such a trial to itself; None where each slot has its own."""
    if len(slots) == 1 or Parallel.from_recipe(recipe).form != DATA_PARALLEL:
        return None
    return Rank(number=0, size=1, devices=tuple(slot.device_index for slot in slots))


def _can_be_shared(recipe: Recipe) -> bool:
    """Whether it trains a network on more than a table."""
    model = models().get(str(recipe.get("model", "")))
    return model is not None and model.learns_in_steps and Modality.TABULAR not in model.modalities
