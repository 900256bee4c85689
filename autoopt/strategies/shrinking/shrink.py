"""A trained network pruned as the recipe says, and fine-tuned by the one loop."""

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from autoopt.strategies.learning.compile import Compile
from autoopt.strategies.learning.loader_source import loading
from autoopt.strategies.learning.training_loop import Plan, fit, settled
from autoopt.strategies.model import Trained, TrainingContext, TrainingData
from autoopt.strategies.networks.exported import ExportedArtifact
from autoopt.strategies.networks.learner import TRACED_ROWS, Network
from autoopt.strategies.shrinking.channels import without_channels
from autoopt.strategies.shrinking.prune import CHANNELS, Prune
from autoopt.strategies.shrinking.unstructured import masked, unstructured, zero_share
from autoopt.strategies.shrinking.widths import rebuilt, widths


def shrunk(model: Network, artifact: ExportedArtifact, data: TrainingData[Any], context: TrainingContext) -> Trained:
    """What is left of the network after pruning and fine-tuning. Raises StageFailure when it cannot be done."""
    pruning = Prune.from_recipe(context.recipe)
    with settled(context.slot, context.seed) as device:
        trained = rebuilt(model.build(data), artifact.weights).to(device)
        before = _size(trained)
        network = _pruned(trained, model, pruning, data, context, device)
        scores = model.judge(data, device).scores(network)
        left = model.artifact(network.cpu(), data)
    if isinstance(left, ExportedArtifact):
        shape = {**left.architecture, "prune": pruning.form, "widths": widths(network)}
        left = replace(left, architecture=shape)
    note = f"pruned ({pruning.form}): {_size(network):,} of {before:,} weights left"
    if pruning.form != CHANNELS:
        note = f"pruned ({pruning.form}): {zero_share(network):.0%} of the weights of its layers are zero"
    return Trained(artifact=left, valid_scores=scores, notes=(note,))


def _pruned(
    trained: nn.Module,
    model: Network,
    pruning: Prune,
    data: TrainingData[Any],
    context: TrainingContext,
    device: torch.device,
) -> nn.Module:
    """The network after the last step of pruning and fine-tuning."""
    judge, plan = model.judge(data, device), _plan(pruning, data, context)
    share_s = None if context.limit_s is None else context.limit_s / pruning.steps
    smaller, done = trained, 0

    def report(epoch: int, values: dict[str, float]) -> None:
        context.report(done + epoch, values)

    for smaller, masks in _steps(trained, model, pruning, data, device):
        with masked(smaller, masks) if masks else nullcontext(), loading(model.source(data, context, device)) as source:
            learned = fit(smaller, source, judge, plan, report, limit_s=share_s, loss=model.loss(data))
        done += learned.epochs
    return smaller


def _steps(
    trained: nn.Module, model: Network, pruning: Prune, data: TrainingData[Any], device: torch.device
) -> Iterator[tuple[nn.Module, dict[str, torch.Tensor]]]:
    """The network with a share of it gone, growing from step to step, and the masks of what has to stay zero."""
    if pruning.form == CHANNELS:
        inputs = tuple(values[:TRACED_ROWS].to(device) for values in model.inputs(data.valid))
        for smaller in without_channels(
            trained, inputs, pruning.share, steps=pruning.steps, heads=model.attention_heads()
        ):
            yield smaller, {}
        return
    for step in range(1, pruning.steps + 1):
        yield trained, dict(unstructured(trained, pruning.share * step / pruning.steps, pruning.form))


def _plan(pruning: Prune, data: TrainingData[Any], context: TrainingContext) -> Plan:
    """The training's own, with fewer epochs and smaller steps; not compiled, as each step has another shape."""
    plan = Plan.from_recipe(
        context.recipe,
        epochs=pruning.epochs,
        patience=pruning.epochs,
        seed=context.seed,
        classes=len(data.facts.classes),
    )
    rate = plan.optimizer.learning_rate * pruning.rate_share
    return replace(plan, optimizer=replace(plan.optimizer, learning_rate=rate), compile=Compile())


def _size(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())
