"""A trained network pruned, and made used to int8, as the recipe says: each followed by fine-tuning in the one loop."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import replace
from typing import Any, final

import torch
from torch import Tensor, nn

from autoopt.errors import StageFailure
from autoopt.strategies.deploying.quantize import Quantize
from autoopt.strategies.learning.compile import Compile
from autoopt.strategies.learning.judge import Judge, tensor_parts
from autoopt.strategies.learning.loader_source import loading
from autoopt.strategies.learning.loss import LossFunction
from autoopt.strategies.learning.progressive_resizing import ProgressiveResizing
from autoopt.strategies.learning.teacher import Teacher
from autoopt.strategies.learning.training_loop import Learned, Plan, fit, settled
from autoopt.strategies.model import Trained, TrainingContext, TrainingData
from autoopt.strategies.networks.exported import ExportedArtifact
from autoopt.strategies.networks.learner import TRACED_ROWS, Network
from autoopt.strategies.networks.mlp_graph import NetworkArtifact
from autoopt.strategies.networks.untraced import UntracedArtifact
from autoopt.strategies.shrinking.channels import without_channels
from autoopt.strategies.shrinking.imitated_int8 import imitated_int8
from autoopt.strategies.shrinking.prune import CHANNELS, NONE, Prune
from autoopt.strategies.shrinking.qat import Qat
from autoopt.strategies.shrinking.steps_done import StepsDone
from autoopt.strategies.shrinking.unstructured import masked, masks_of_zeros, unstructured, zero_share
from autoopt.strategies.shrinking.widths import rebuilt, widths
from autoopt.task.module.spec import LOSSES
from autoopt.task.spreading import spread_rows
from autoopt.values import FailureReason


def shrunk(
    model: Network, artifact: ExportedArtifact | NetworkArtifact, data: TrainingData[Any], context: TrainingContext
) -> Trained:
    """What becomes of a trained network by pruning, by fine-tuning in int8, or by both in this order.

    It goes on from what an earlier attempt kept in `context.checkpoints`. Raises StageFailure when it cannot be done.
    """
    pruning = Prune.from_recipe(context.recipe)
    with settled(context.slot, context.seed) as device:
        network = rebuilt(model.build(data), artifact.weights).to(device)
        tuning = _Tuning(model, data, context, device)
        notes = []
        if pruning.form != NONE:
            before = _size(network)
            tuning.learn_from(network)
            network = tuning.pruned(network)
            notes.append(_told(pruning, network, before))
        if tuning.qat.on:
            notes.append(tuning.used_to_int8(network, artifact))
        scores = tuning.judge.scores(network)
        left = model.artifact(network.cpu(), data)
    if isinstance(left, ExportedArtifact) and pruning.form != NONE:
        left = replace(left, architecture={**left.architecture, "prune": pruning.form, "widths": widths(network)})
    elif isinstance(left, UntracedArtifact) and pruning.form == CHANNELS:  # the user's `build` gives another shape
        raise StageFailure(FailureReason.ERROR, f"the pruned network cannot be exported: {left.reason}")
    if tuning.earlier_s:
        notes.append("fine-tuning went on from what an earlier attempt had kept")
    return Trained(artifact=left, valid_scores=scores, notes=tuple(notes), earlier_s=tuning.earlier_s)


def _told(pruning: Prune, network: nn.Module, before: int) -> str:
    if pruning.form == CHANNELS:
        return f"pruned ({pruning.form}): {_size(network):,} of {before:,} weights left"
    return f"pruned ({pruning.form}): {zero_share(network):.0%} of the weights of its layers are zero"


@final
class _Tuning:
    """The fine-tunings of one network, one after another: their checkpoints, what they report, how long each may take.

    `earlier_s` are seconds that earlier attempts spent on them.
    """

    def __init__(self, model: Network, data: TrainingData[Any], context: TrainingContext, device: torch.device) -> None:
        self.qat = Qat.from_recipe(context.recipe)
        self.judge = model.judge(data, device)
        self._pruning = Prune.from_recipe(context.recipe)
        self._model, self._data, self._context, self._device = model, data, context, device
        self._began = time.monotonic()
        self._plan = _plan(self._pruning.epochs, self._pruning.rate_share, data, context)
        about = {"prune": repr(self._pruning), "plan": repr(self._plan), "torch": torch.__version__}
        self._kept = StepsDone(context.checkpoints, about, device)
        self._epochs_done, self.earlier_s = self._kept.epochs, self._kept.seconds
        self._teacher: Teacher | None = None

    def learn_from(self, trained: nn.Module) -> None:
        """Be taught by the network as it is now in all that follows, where the recipe says so."""
        if self._pruning.taught > 0:
            self._teacher = Teacher.of(trained, self._pruning.taught, self._loss_of_values())

    def _loss_of_values(self) -> LossFunction | None:
        """How far apart two networks are in their values; None of classes.

        A loss of the user's own may take outputs and targets of different kinds: squares stand in for it.
        """
        facts = self._data.facts
        if facts.kind.classifies:
            return None
        if facts.module_facts is not None and facts.module_facts.loss not in LOSSES:
            squares: LossFunction = nn.MSELoss()
            return squares
        return self._model.loss(self._data) or self._plan.loss.function(classifies=False)

    def pruned(self, trained: nn.Module) -> nn.Module:
        """The network after the last step of pruning and fine-tuning."""
        smaller, steps = trained, self._pruning.steps
        limit_s = self._context.limit_s
        if limit_s is not None:
            tuned = self.qat.epochs if self.qat.on else 0
            limit_s *= self._pruning.epochs / (steps * self._pruning.epochs + tuned)
        for step, (smaller, masks) in enumerate(self._steps(trained), start=1):
            if step == self._kept.step:
                self._kept.take_over(smaller)
                self._plan.memory_format.lay_out(smaller)
            if step <= self._kept.step:
                continue
            with masked(smaller, masks) if masks else nullcontext():
                least_share = self._context.least_share
                self._fit(smaller, self._plan, self.judge, step=step, limit_s=limit_s, least_share=least_share)
            seconds = self.earlier_s + time.monotonic() - self._began
            self._kept.keep(smaller, step=step, epochs=self._epochs_done, seconds=seconds)
        return smaller

    def used_to_int8(self, network: nn.Module, artifact: ExportedArtifact | NetworkArtifact) -> str:
        """Fine-tune as if in int8, in place; what came of it. Weights that are zero after pruning stay so."""
        plan = _plan(self.qat.epochs, self.qat.rate_share, self._data, self._context)
        # Rounding is caught as the network is called: a block that is computed again would do without.
        plan = replace(plan, gradients=replace(plan.gradients, recompute=False))
        zeros = masks_of_zeros(network) if self._pruning.form not in (NONE, CHANNELS) else {}
        limit_s = self._context.limit_s
        if limit_s is not None:
            limit_s -= time.monotonic() - self._began
        plan.memory_format.lay_out(network)
        with imitated_int8(network, artifact.graph()) as int8, masked(network, zeros) if zeros else nullcontext():
            judge = int8.judge(self.judge, self._calibration())
            before = judge(network)
            weights = {name: value.detach().clone() for name, value in network.state_dict().items()}
            after = self._pruning.steps + 1
            learned = self._fit(network, plan, judge, step=after, limit_s=limit_s, least_share=1 / plan.epochs)
            better = learned.value > before if self.judge.greater_is_better else learned.value < before
            if not better:
                network.load_state_dict(weights)
        figures = f"{before:.5g} before, {learned.value:.5g} after {learned.epochs} epochs, on valid"
        return f"fine-tuned in int8: {figures}{'' if better else '; its weights stay as they came'}"

    def _calibration(self) -> Callable[[], Iterator[tuple[Tensor, ...]]]:
        """Inputs of the rows that the deployed graph's ranges will be taken from."""
        chosen = spread_rows(self._data.train.rows, Quantize.from_recipe(self._context.recipe).calibration_rows)
        inputs = (values[torch.from_numpy(chosen)] for values in self._model.inputs(self._data.train))
        return tensor_parts(tuple(values.to(self._device) for values in inputs), self._model.scoring_rows)

    def _fit(
        self,
        network: nn.Module,
        plan: Plan,
        judge: Judge,
        *,
        step: int,
        limit_s: float | None,
        least_share: float = 0.0,
    ) -> Learned:
        done = self._epochs_done

        def report(epoch: int, values: dict[str, float]) -> None:
            self._context.report(done + epoch, values)

        with loading(self._model.source(self._data, self._context, self._device)) as source:
            learned = fit(
                network,
                source,
                judge,
                plan,
                report,
                checkpoints=self._kept.checkpoints(step),
                limit_s=limit_s,
                least_share=least_share,
                loss=self._model.loss(self._data),
                teacher=self._teacher,
            )
        self._epochs_done, self.earlier_s = done + learned.epochs, self.earlier_s + learned.earlier_s
        return learned

    def _steps(self, trained: nn.Module) -> Iterator[tuple[nn.Module, Mapping[str, Tensor]]]:
        """The network with a share of it gone, growing from step to step, and the masks of what has to stay zero."""
        pruning, model = self._pruning, self._model
        if pruning.form == CHANNELS:
            inputs = tuple(values[:TRACED_ROWS].to(self._device) for values in model.inputs(self._data.valid))
            heads = model.attention_heads()
            for smaller in without_channels(trained, inputs, pruning.share, steps=pruning.steps, heads=heads):
                yield smaller, {}
            return
        for step in range(1, pruning.steps + 1):
            yield trained, unstructured(trained, pruning.share * step / pruning.steps, pruning.form)


def _plan(epochs: int, rate_share: float, data: TrainingData[Any], context: TrainingContext) -> Plan:
    """The training's own, with fewer epochs and smaller steps on whole images; not compiled: shapes change."""
    plan = Plan.from_recipe(
        context.recipe, epochs=epochs, patience=epochs, seed=context.seed, classes=len(data.facts.classes)
    )
    gentler = replace(plan.optimizer, learning_rate=plan.optimizer.learning_rate * rate_share)
    return replace(plan, optimizer=gentler, compile=Compile(), resizing=ProgressiveResizing())


def _size(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())
