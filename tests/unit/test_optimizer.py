"""The optimizers are the classes they are named after, with the settings of the recipe."""

import pytest
import torch

from autoopt.space.recipe import Recipe
from autoopt.strategies import declarations, models
from autoopt.strategies.learning.optimizer import Optimizer

CLASSES = {
    "adamw": torch.optim.AdamW,
    "adam": torch.optim.Adam,
    "sgd": torch.optim.SGD,
    "rmsprop": torch.optim.RMSprop,
}


@pytest.mark.parametrize("name", CLASSES)
def test_class_and_settings(name: str) -> None:
    recipe = Recipe({"optimizer": name, "optimizer.learning_rate": 0.02, "optimizer.weight_decay": 0.3})
    (built,) = Optimizer.from_recipe(recipe).build(torch.nn.Linear(3, 2))
    assert type(built) is CLASSES[name]
    assert {group["lr"] for group in built.param_groups} == {0.02}


@pytest.mark.parametrize("name", ["sgd", "rmsprop"])
def test_momentum(name: str) -> None:
    recipe = Recipe({"optimizer": name, "optimizer.momentum": 0.4})
    (built,) = Optimizer.from_recipe(recipe).build(torch.nn.Linear(3, 2))
    assert {group["momentum"] for group in built.param_groups} == {0.4}


def test_only_matrices_decay() -> None:
    network = torch.nn.Sequential(torch.nn.Embedding(4, 3), torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    (built,) = Optimizer(weight_decay=0.3).build(network)
    decay = {id(p): group["weight_decay"] for group in built.param_groups for p in group["params"]}
    assert [decay[id(p)] for p in network.parameters()] == [0.3, 0.3, 0.0, 0.0, 0.0]


def test_momentum_counts_only_where_it_is_used() -> None:
    conditions = {d.name: dict(d.when) for d in declarations(Optimizer)}
    networks = tuple(name for name, model in models().items() if model.learns_in_steps)
    assert conditions["optimizer.momentum"] == {"model": networks, "optimizer": ("sgd", "rmsprop", "muon")}
    assert conditions["optimizer.nesterov"] == {"model": networks, "optimizer": ("sgd",)}
    assert conditions["optimizer.learning_rate"] == {"model": networks}


def test_muon_takes_the_matrices_and_leaves_embeddings_convolutions_and_the_rest_to_adamw() -> None:
    parts = (torch.nn.Embedding(9, 4), torch.nn.Linear(4, 3), torch.nn.Conv2d(3, 2, 3), torch.nn.BatchNorm1d(3))
    network = torch.nn.Sequential(*parts)
    rest, muon = Optimizer(rule="muon", weight_decay=0.3, momentum=0.8).build(network)
    assert (type(rest), type(muon)) == (torch.optim.AdamW, torch.optim.Muon)
    assert [p for group in muon.param_groups for p in group["params"]] == [parts[1].weight]
    assert {(group["momentum"], group["weight_decay"]) for group in muon.param_groups} == {(0.8, 0.3)}
    everything = [p for built in (rest, muon) for group in built.param_groups for p in group["params"]]
    assert sorted(map(id, everything)) == sorted(map(id, network.parameters()))


def test_a_step_of_muon_goes_equally_far_in_all_directions_of_a_matrix() -> None:
    layer = torch.nn.Linear(6, 4, bias=False)
    before = layer.weight.detach().clone()
    (muon,) = Optimizer(rule="muon", learning_rate=0.1, weight_decay=1e-8).build(layer)
    layer.weight.grad = torch.diag(torch.tensor([100.0, 10.0, 1.0, 0.1])) @ torch.eye(4, 6)
    muon.step()
    moved = torch.linalg.svdvals(before - layer.weight.detach())
    assert moved.max() < 2 * moved.min()


@pytest.mark.parametrize(("momentum", "ahead"), [(0.9, True), (0.0, False)])
def test_nesterov_needs_momentum(momentum: float, ahead: bool) -> None:
    (built,) = Optimizer(rule="sgd", momentum=momentum, nesterov=True).build(torch.nn.Linear(2, 2))
    assert {group["nesterov"] for group in built.param_groups} == {ahead}


@pytest.mark.parametrize("name", [*CLASSES, "muon"])
def test_every_rule_goes_downhill(name: str) -> None:
    layer = torch.nn.Linear(2, 2)
    with torch.no_grad():
        layer.weight.fill_(3.0)
        layer.bias.fill_(3.0)
    built = Optimizer(rule=name, learning_rate=0.05, momentum=0.5).build(layer)
    for _ in range(500):
        layer.zero_grad()
        sum((p**2).sum() for p in layer.parameters()).backward()
        for one in built:
            one.step()
    assert max(p.abs().max() for p in layer.parameters()) < 1
