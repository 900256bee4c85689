"""A head that learns alone, from features that are computed once."""

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from autoopt.strategies.learning.epoch import SIGN_OF_LIFE_S, Due
from autoopt.strategies.learning.progressive_resizing import ProgressiveResizing
from autoopt.strategies.learning.source import TensorSource
from autoopt.strategies.learning.training_loop import fit, settled
from autoopt.strategies.model import StepReport, Trained, TrainingContext, TrainingData
from autoopt.strategies.networks.learner import Network


def head_trained(model: Network, data: TrainingData[Any], context: TrainingContext) -> Trained:
    """Train the last layer of the model's network where nothing before it learns and no image changes.

    What is before it gives the same in every epoch, so that it is asked once for each image.
    """
    began = time.monotonic()
    plan = replace(model.plan(data, context), resizing=ProgressiveResizing())  # its inputs are no images any more
    with settled(context.slot, context.seed) as device:
        network = model.build(data).to(device)
        plan.memory_format.lay_out(network)
        body, head = network[:-1].eval(), network[-1]
        train, valid = (
            _features(body, model.inputs(part), device, model.scoring_rows, context.report)
            for part in (data.train, data.valid)
        )
        judge = model.judge_on((valid,), data)
        learned = fit(
            head,
            TensorSource((train,), model.target(data).to(device)),
            judge,
            plan,
            context.report,
            checkpoints=context.checkpoints,
            limit_s=context.since(began).limit_s,
        )
        scores = judge.scores(head)
        artifact = model.artifact(network.cpu(), data)
    told = (*learned.notes, "features were computed once")
    return Trained(artifact=artifact, valid_scores=scores, notes=told, earlier_s=learned.earlier_s)


def _features(
    body: nn.Module, inputs: tuple[Tensor, ...], device: torch.device, rows: int, report: StepReport
) -> Tensor:
    """What comes out of the body, pooled over the places: (rows, channels, 1, 1)."""
    due = Due(SIGN_OF_LIFE_S)

    def parts() -> Iterator[Tensor]:
        for some in zip(*(values.split(rows) for values in inputs), strict=True):
            yield body(*(values.to(device) for values in some)).mean(dim=(2, 3), keepdim=True)
            if due():
                report(1, {})

    with torch.no_grad():
        return torch.cat(list(parts()))
