"""Where several slots can train one network, and in a user's words where not."""

import dataclasses
import json

import pytest
import torch
from support_learning import perceptron, plan_of
from support_network import facts_of
from support_pixels import image_facts

from autoopt.errors import StageFailure
from autoopt.space.recipe import Recipe
from autoopt.strategies.learning.parallel import Parallel
from autoopt.strategies.learning.ranks import Devices, Ranks, joined
from autoopt.task.facts import Kind
from autoopt.values import Rank, Slot

ONE = Slot(index=0)
TWO = Slot(index=0, peers=2)
GPU = Slot(index=0, device="cuda")
GPUS = dataclasses.replace(GPU, peers=2)
METAL = Slot(index=0, device="mps", peers=2)


@pytest.mark.parametrize(
    ("value", "slot", "told"),
    [
        ("none", ONE, None),
        ("ddp", TWO, None),
        ("ddp", GPUS, None),
        ("ddp", ONE, "--slots 2 gives two"),
        ("ddp", GPU, "one slot of a kind"),
        ("ddp", METAL, "this one is mps"),
        ("data_parallel", GPUS, None),
        ("data_parallel", GPU, "one slot of a kind"),
        ("data_parallel", TWO, "it does nothing"),
    ],
)
def test_where_it_applies(value: str, slot: Slot, told: str | None) -> None:
    assert Parallel.applies(image_facts(), slot) is None
    found = Parallel.value_applies(value, image_facts(), slot)
    assert found is None if told is None else found is not None and told in found


def test_tables_are_learned_in_one_process() -> None:
    assert Parallel.applies(facts_of(Kind.BINARY, 2), TWO) is not None


def test_a_training_does_not_try_it_by_itself() -> None:
    assert Parallel.candidates(image_facts(), TWO) == {}


def test_torch_does_nothing_on_the_cpu() -> None:
    """Why it is refused there: the day that this fails, it need not be."""
    assert torch.nn.DataParallel(perceptron()).device_ids in ([], list(range(torch.cuda.device_count())))


def test_a_rank_is_json() -> None:
    for rank in (Rank(number=1, size=2, folder="x"), Rank(number=0, size=1, devices=(2, 0))):
        assert Rank.from_json(json.loads(json.dumps(rank.to_json()))) == rank


def test_who_trains_without_others() -> None:
    with joined(None, ONE) as alone, joined(Rank(number=0, size=1, devices=(0, 1)), GPUS) as several:
        assert type(alone) is Ranks
        assert isinstance(several, Devices)
        assert several.leads
    network, plan = perceptron(), plan_of()
    assert alone.forward(network, plan) is network
    with pytest.raises(StageFailure, match="recompute does not go with parallel=data_parallel"):
        several.forward(network, plan_of({"gradients.recompute": True}))


def test_the_card_reads_a_recipe() -> None:
    found = Parallel.from_recipe(Recipe({"parallel": "ddp", "parallel.ranks": 3}))
    assert (found.form, found.ranks) == ("ddp", 3)
