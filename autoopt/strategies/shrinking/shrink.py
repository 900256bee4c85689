"""A trained network pruned as the recipe says, and fine-tuned by the one loop."""

import time
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import torch
from numpy.typing import NDArray
from torch import nn

from autoopt.errors import StageFailure
from autoopt.strategies.learning.compile import Compile
from autoopt.strategies.learning.judge import Judge
from autoopt.strategies.learning.loader_source import loading
from autoopt.strategies.learning.progressive_resizing import ProgressiveResizing
from autoopt.strategies.learning.training_loop import Plan, fit, settled
from autoopt.strategies.model import Trained, TrainingContext, TrainingData
from autoopt.strategies.networks.exported import ExportedArtifact
from autoopt.strategies.networks.learner import TRACED_ROWS, Network
from autoopt.strategies.networks.untraced import UntracedArtifact
from autoopt.strategies.shrinking.channels import without_channels
from autoopt.strategies.shrinking.prune import CHANNELS, Prune
from autoopt.strategies.shrinking.steps_done import StepsDone
from autoopt.strategies.shrinking.unstructured import masked, unstructured, zero_share
from autoopt.strategies.shrinking.widths import rebuilt, widths
from autoopt.values import FailureReason


def shrunk(
    model: Network, weights: Mapping[str, NDArray[Any]], data: TrainingData[Any], context: TrainingContext
) -> Trained:
    """What is left of the network with these weights after pruning and fine-tuning.

    It goes on from what an earlier attempt kept in `context.checkpoints`. Raises StageFailure when it cannot be done.
    """
    form = Prune.from_recipe(context.recipe).form
    with settled(context.slot, context.seed) as device:
        trained = rebuilt(model.build(data), weights).to(device)
        before = _size(trained)
        judge = model.judge(data, device)
        network, earlier_s = _pruned(trained, model, judge, data, context, device)
        scores = judge.scores(network)
        left = model.artifact(network.cpu(), data)
    if isinstance(left, ExportedArtifact):
        left = replace(left, architecture={**left.architecture, "prune": form, "widths": widths(network)})
    elif isinstance(left, UntracedArtifact) and form == CHANNELS:  # the user's `build` gives another shape
        raise StageFailure(FailureReason.ERROR, f"the pruned network cannot be exported: {left.reason}")
    note = f"pruned ({form}): {_size(network):,} of {before:,} weights left"
    if form != CHANNELS:
        note = f"pruned ({form}): {zero_share(network):.0%} of the weights of its layers are zero"
    told = ("pruning went on from what an earlier attempt had kept",) if earlier_s else ()
    return Trained(artifact=left, valid_scores=scores, notes=(note, *told), earlier_s=earlier_s)


def _pruned(
    trained: nn.Module,
    model: Network,
    judge: Judge,
    data: TrainingData[Any],
    context: TrainingContext,
    device: torch.device,
) -> tuple[nn.Module, float]:
    """The network after the last step of pruning and fine-tuning, and seconds that earlier attempts spent on it."""
    pruning = Prune.from_recipe(context.recipe)
    plan = _plan(pruning, data, context)
    share_s = None if context.limit_s is None else context.limit_s / pruning.steps
    about = {"prune": repr(pruning), "plan": repr(plan), "torch": torch.__version__}
    kept = StepsDone(context.checkpoints, about, device)
    began, smaller, done, earlier_s = time.monotonic(), trained, kept.epochs, kept.seconds

    def report(epoch: int, values: dict[str, float]) -> None:
        context.report(done + epoch, values)

    for step, (smaller, masks) in enumerate(_steps(trained, model, pruning, data, device), start=1):
        if step == kept.step:
            kept.take_over(smaller)
            plan.memory_format.lay_out(smaller)
        if step <= kept.step:
            continue
        with masked(smaller, masks) if masks else nullcontext(), loading(model.source(data, context, device)) as source:
            learned = fit(
                smaller,
                source,
                judge,
                plan,
                report,
                checkpoints=kept.checkpoints(step),
                limit_s=share_s,
                loss=model.loss(data),
            )
        done, earlier_s = done + learned.epochs, earlier_s + learned.earlier_s
        kept.keep(smaller, step=step, epochs=done, seconds=earlier_s + time.monotonic() - began)
    return smaller, earlier_s


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
    """The training's own, with fewer epochs and smaller steps on whole images; not compiled: shapes change."""
    plan = Plan.from_recipe(
        context.recipe,
        epochs=pruning.epochs,
        patience=pruning.epochs,
        seed=context.seed,
        classes=len(data.facts.classes),
    )
    rate = plan.optimizer.learning_rate * pruning.rate_share
    gentler = replace(plan.optimizer, learning_rate=rate)
    return replace(plan, optimizer=gentler, compile=Compile(), resizing=ProgressiveResizing())


def _size(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())
