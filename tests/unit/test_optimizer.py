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
    built = Optimizer.from_recipe(recipe).build(torch.nn.Linear(3, 2).parameters())
    assert type(built) is CLASSES[name]
    assert {group["lr"] for group in built.param_groups} == {0.02}


@pytest.mark.parametrize("name", ["sgd", "rmsprop"])
def test_momentum(name: str) -> None:
    recipe = Recipe({"optimizer": name, "optimizer.momentum": 0.4})
    built = Optimizer.from_recipe(recipe).build(torch.nn.Linear(3, 2).parameters())
    assert {group["momentum"] for group in built.param_groups} == {0.4}


def test_only_matrices_decay() -> None:
    network = torch.nn.Sequential(torch.nn.Embedding(4, 3), torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    built = Optimizer(weight_decay=0.3).build(network.parameters())
    decay = {id(p): group["weight_decay"] for group in built.param_groups for p in group["params"]}
    assert [decay[id(p)] for p in network.parameters()] == [0.3, 0.3, 0.0, 0.0, 0.0]


def test_momentum_counts_only_where_it_is_used() -> None:
    conditions = {d.name: dict(d.when) for d in declarations(Optimizer)}
    networks = tuple(name for name, model in models().items() if model.learns_in_steps)
    assert conditions["optimizer.momentum"] == {"model": networks, "optimizer": ("sgd", "rmsprop")}
    assert conditions["optimizer.learning_rate"] == {"model": networks}


@pytest.mark.parametrize("name", CLASSES)
def test_every_rule_goes_downhill(name: str) -> None:
    weight = torch.nn.Parameter(torch.full((2, 2), 3.0))
    built = Optimizer(rule=name, learning_rate=0.05, momentum=0.5).build([weight])
    for _ in range(150):
        built.zero_grad()
        (weight**2).sum().backward()
        built.step()
    assert weight.abs().max() < 1
