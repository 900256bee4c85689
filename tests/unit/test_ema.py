"""The moving average of weights: what is judged and kept, and what never touches the steps."""

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from support_learning import judge_of, perceptron, plan_of, source_of
from support_network import Reports
from torch import nn

from autoopt.strategies.learning.ema import Ema
from autoopt.strategies.learning.training import Training
from autoopt.strategies.learning.training_loop import fit

AVERAGED = {"ema": True, "ema.decay": 0.9, "optimizer.learning_rate": 0.05}


def test_the_average_is_the_one_of_the_card() -> None:
    network = nn.Linear(1, 1, bias=False)
    network.weight.data.fill_(0.0)
    average = Ema(on=True, decay=0.9).average(network)
    assert average is not None
    expected = 0.0
    for step in range(1, 200):
        network.weight.data.fill_(float(step))
        average.update(network, step)
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * step
    assert float(average.tensors["weight"]) == pytest.approx(expected, rel=1e-5)


def test_off_there_is_none() -> None:
    assert Ema(on=False).average(nn.Linear(1, 1)) is None


def test_statistics_of_batch_normalization_are_averaged_and_its_counter_is_not() -> None:
    network = perceptron(normalized=True)
    average = Ema(on=True, decay=0.9).average(network)
    assert average is not None
    for step in range(1, 30):
        network(torch.full((4, 4), float(step)) + torch.randn(4, 4))
        average.update(network, step)
    own = network.state_dict()
    assert not torch.equal(average.tensors["1.running_mean"], own["1.running_mean"])
    assert int(average.tensors["1.num_batches_tracked"]) == int(own["1.num_batches_tracked"]) == 29


def test_the_steps_do_not_see_it_and_what_is_kept_is_the_average() -> None:
    def trained(recipe: Mapping[str, Any]) -> tuple[nn.Module, list[torch.Tensor]]:
        network, seen = perceptron(), []
        network.register_forward_hook(lambda m, _, out: seen.append(out.detach().clone()) if m.training else None)
        fit(network, source_of(4), judge_of(4), plan_of(recipe, epochs=4), Reports())
        return network, seen

    plain, outputs = trained({"optimizer.learning_rate": 0.05})
    averaged, same = trained(AVERAGED)
    assert all(torch.equal(a, b) for a, b in zip(outputs, same, strict=True))
    assert not torch.equal(plain[0].weight, averaged[0].weight)


def test_the_judge_sees_the_average_and_the_network_gets_its_own_weights_back() -> None:
    network = perceptron(normalized=True)
    training = Training(network, source_of(4), plan_of(AVERAGED), True)
    assert training.average is not None
    with torch.no_grad():
        network[0].weight.add_(1.0)
    own = {name: value.clone() for name, value in network.state_dict().items()}
    with training.judged():
        assert all(torch.equal(v, training.average.tensors[n]) for n, v in network.state_dict().items())
    assert all(torch.equal(value, own[name]) for name, value in network.state_dict().items())
