"""The layout of convolutions: it reaches what flows through them, and leaves the results alone."""

import dataclasses

import numpy as np
import pytest
import torch
from support_learning import convolutional, judge_of, perceptron, plan_of, source_of
from support_network import Reports, facts_of
from torch import nn

from autoopt.strategies.learning.memory_format import MemoryFormat
from autoopt.strategies.learning.training_loop import fit
from autoopt.strategies.networks.images.pixels import Normalize
from autoopt.task.facts import Kind, Modality, TaskFacts, TensorFacts
from autoopt.values import Slot

SHAPE = (3, 6, 6)


def trained(order: str) -> tuple[nn.Module, set[bool]]:
    """The network, and whether what left its second convolution lay channels last while it trained."""
    network = convolutional()
    seen: set[bool] = set()
    network[5].p = 0.0  # dropout draws in the order of memory
    recipe = {"memory_format": order, "optimizer": "sgd"}

    def note(module: nn.Module, _: object, output: torch.Tensor) -> None:
        if module.training:
            seen.add(output.is_contiguous(memory_format=torch.channels_last))

    network[3].register_forward_hook(note)
    fit(network, source_of(*SHAPE), judge_of(*SHAPE), plan_of(recipe, epochs=2), Reports())
    return network, seen


def test_what_flows_lies_as_it_says_and_the_training_is_the_same_up_to_rounding() -> None:
    (plain, contiguous), (last, channels_last) = trained("contiguous"), trained("channels_last")
    assert (contiguous, channels_last) == ({False}, {True})
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(last.state_dict()[name].contiguous(), value, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("order", ["contiguous", "channels_last"])
def test_pixels_flow_through_our_own_networks_as_it_says(order: str) -> None:
    """They are stored channels last, and convolutions follow what they are given rather than their weights."""
    body = nn.Conv2d(3, 8, 3)
    network = nn.Sequential(Normalize(np.zeros(3, np.float32), np.ones(3, np.float32)), body, nn.ReLU())
    MemoryFormat(order=order).lay_out(network)
    found = network(torch.zeros(2, 9, 9, 3, dtype=torch.uint8))
    last = order == "channels_last"
    assert found.is_contiguous(memory_format=torch.channels_last) == last
    assert found.is_contiguous() == body.weight.is_contiguous() == (not last)


def test_networks_without_convolutions_stay_as_they_are() -> None:
    network = perceptron()
    MemoryFormat(order="channels_last").lay_out(network)
    assert all(p.is_contiguous() for p in network.parameters())


@pytest.mark.parametrize(
    ("modality", "shapes", "applies"),
    [
        (Modality.IMAGES, ((32, 32, 3),), True),
        (Modality.MODULE, ((16,), (1, 28, 28)), True),
        (Modality.MODULE, ((64, 8),), False),
        (Modality.TABULAR, (), False),
    ],
)
def test_it_is_offered_where_an_input_is_an_image(
    modality: Modality, shapes: tuple[tuple[int, ...], ...], applies: bool
) -> None:
    tensors = tuple(TensorFacts(name=f"x{i}", dtype="float32", shape=shape) for i, shape in enumerate(shapes))
    facts: TaskFacts = dataclasses.replace(facts_of(Kind.BINARY, 2), modality=modality, tensors=tensors)
    assert (MemoryFormat.applies(facts, Slot(index=0)) is None) == applies
