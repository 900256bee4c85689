"""What networks have in common: built, trained by the one loop, traced, kept, pruned."""

import contextlib
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from numpy.typing import NDArray

from autoopt.strategies.base import whole
from autoopt.strategies.model import Artifact, Model, Prepared, Trained, TrainingContext, TrainingData
from autoopt.task.facts import TaskFacts

if TYPE_CHECKING:  # the catalogue is read by processes that never train: they do without torch
    import torch
    from torch import Tensor, nn

    from autoopt.strategies.learning.judge import Judge
    from autoopt.strategies.learning.loss import LossFunction
    from autoopt.strategies.learning.plan import Plan
    from autoopt.strategies.learning.source import Source
    from autoopt.strategies.learning.training_loop import Learned

TRACED_ROWS = 2


@dataclass(frozen=True, kw_only=True)
class Network(Model):
    """A model that learns in steps and is exported by torch. Subclasses say what is built and what it takes.

    What `build` gives takes the tensors of `inputs`, first dimension rows, and returns logits (rows, classes), or
    standardised values (rows, 1).
    """

    learns_in_steps: ClassVar[bool] = True
    artifact_kind: ClassVar[str] = "exported"
    input_names: ClassVar[tuple[str, ...]]
    """Of the graph, in the order of `forward`: FEATURES, CODES."""
    scoring_rows: ClassVar[int] = 1024
    """Rows of one call when a whole part goes through the network."""

    epochs: int = whole(20, low=1, high=1000, log=True, help="passes over the training rows, at most")
    patience: int = whole(6, low=1, high=200, log=True, help="epochs without a better valid metric before the end")

    @abstractmethod
    def build(self, data: TrainingData[Any]) -> "nn.Module":
        """The network with random weights, drawn from torch's generator."""

    @abstractmethod
    def inputs(self, prepared: Prepared) -> "tuple[Tensor, ...]":
        """A whole part as tensors on the CPU; they may be mapped from disk."""

    def source(self, data: TrainingData[Any], context: TrainingContext, device: "torch.device") -> "Source":
        """The training rows, augmentation not yet applied."""
        from autoopt.strategies.learning.held import held_source

        return held_source(self.inputs(data.train), self.target(data), context, device)

    def target(self, data: TrainingData[Any]) -> "Tensor":
        """Of the training rows: int64 classes (rows,), a teacher's shares of them float32 (rows, classes), or float32
        standardised values (rows, 1)."""
        import torch

        if data.shares is not None:
            return torch.tensor(data.shares)
        if data.facts.kind.classifies:
            return torch.tensor(data.train_target)
        shift, scale = target_moments(data)
        return torch.tensor((data.train_target - shift) / scale, dtype=torch.float32)[:, None]

    def loss(self, data: TrainingData[Any]) -> "LossFunction | None":
        """What training makes small; None for what the recipe says."""
        return None

    def plan(self, data: TrainingData[Any], context: TrainingContext) -> "Plan":
        """How it learns, by the recipe."""
        from autoopt.strategies.learning.plan import Plan

        return Plan.from_recipe(
            context.recipe,
            epochs=self.epochs,
            patience=self.patience,
            seed=context.seed,
            classes=len(data.facts.classes),
            image_axes=data.facts.image_axes,
        )

    def judge(self, data: TrainingData[Any], device: "torch.device") -> "Judge":
        """The task's metric on the valid part."""
        return self.judge_on(tuple(values.to(device) for values in self.inputs(data.valid)), data)

    def judge_on(self, inputs: "tuple[Tensor, ...]", data: TrainingData[Any]) -> "Judge":
        """The same, of a network that takes these in the place of the valid part's own inputs."""
        from autoopt.strategies.learning.judge import Judge, tensor_parts, valid_metric
        from autoopt.strategies.networks.scored import scores_of

        score, greater_is_better = valid_metric(data)
        return Judge(
            parts=tensor_parts(inputs, self.scoring_rows),
            scores_of=scores_of(data.facts, *target_moments(data)),
            score=score,
            greater_is_better=greater_is_better,
        )

    def train(self, data: TrainingData[Any], context: TrainingContext) -> Trained:
        from autoopt.strategies.networks.speed import settled_speed
        from autoopt.strategies.networks.together import settled_ranks

        context, speed_notes = settled_speed(self, data, context)
        context, notes = settled_ranks(self, data, context)
        with self.learning(data, context) as (network, judge, learned):
            scores = judge.scores(network)
            artifact = self.artifact(network.cpu(), data)
        told = (*learned.notes, *speed_notes, *notes, *context.ranks.notes)
        return Trained(artifact=artifact, valid_scores=scores, notes=told, earlier_s=learned.earlier_s)

    def follow(self, data: TrainingData[Any], context: TrainingContext) -> None:
        from autoopt.strategies.networks.speed import settled_speed
        from autoopt.strategies.networks.together import settled_ranks

        context, _ = settled_speed(self, data, context)
        context, _ = settled_ranks(self, data, context)
        if context.ranks.size > 1:
            with self.learning(data, context):
                """The leader keeps what was learned."""

    @contextlib.contextmanager
    def learning(
        self, data: TrainingData[Any], context: TrainingContext
    ) -> "Iterator[tuple[nn.Module, Judge, Learned]]":
        """Train; within the block the slot is settled and the network has its best weights."""
        from autoopt.strategies.learning.loader_source import loading
        from autoopt.strategies.learning.training_loop import fit, settled

        with settled(context.slot, context.seed) as device:
            network = self.build(data).to(device)
            judge = self.judge(data, device)
            with loading(self.source(data, context, device)) as source:
                learned = fit(
                    network,
                    source,
                    judge,
                    self.plan(data, context),
                    context.report,
                    checkpoints=context.checkpoints,
                    limit_s=context.limit_s,
                    least_share=context.least_share,
                    loss=self.loss(data),
                    ranks=context.ranks,
                )
            yield network, judge, learned

    def untrained(self, data: TrainingData[Any], context: TrainingContext) -> Artifact | None:
        import torch

        from autoopt.strategies.learning.training_loop import settled

        with settled(context.slot, context.seed), torch.no_grad():
            return self.artifact(self.build(data), data)

    def shrink(self, artifact: Artifact, data: TrainingData[Any], context: TrainingContext) -> Trained:
        from autoopt.strategies.networks.exported import ExportedArtifact
        from autoopt.strategies.networks.mlp_graph import NetworkArtifact
        from autoopt.strategies.shrinking.shrink import shrunk

        if not isinstance(artifact, ExportedArtifact | NetworkArtifact):
            return super().shrink(artifact, data, context)
        return shrunk(self, artifact, data, context)

    def attention_heads(self) -> Mapping[str, int]:
        """Of the layers that give queries, keys and values at once, by name in the network: how many heads."""
        return {}

    def artifact(self, network: "nn.Module", data: TrainingData[Any]) -> Artifact:
        """The network on the CPU as it is now. Raises StageFailure when torch cannot trace it."""
        from autoopt.strategies.networks.export import exported_graph
        from autoopt.strategies.networks.exported import ExportedArtifact
        from autoopt.strategies.networks.scored import Scored

        some = tuple(values[:TRACED_ROWS].clone() for values in self.inputs(data.valid))
        whole = Scored(network, data.facts.kind.classifies, *target_moments(data))
        return ExportedArtifact(
            model=exported_graph(whole, some, self.graph_inputs(data.facts), free=self.free_dimensions(some)),
            weights=arrays(network),
            architecture=self.architecture(data.facts),
        )

    def graph_inputs(self, facts: TaskFacts) -> tuple[str, ...]:
        """Names of the graph's inputs, in the order of `forward`."""
        return self.input_names

    def free_dimensions(self, inputs: "tuple[Tensor, ...]") -> tuple[str, ...]:
        """Names of the first dimensions of each input that the graph takes in any size."""
        from autoopt.strategies.networks.export import ROWS

        return (ROWS,)

    def architecture(self, facts: TaskFacts) -> Mapping[str, Any]:
        """What the weights fit into, as JSON."""
        return {"model": self.name, **asdict(self)}


def arrays(network: "nn.Module") -> dict[str, NDArray[Any]]:
    """The network's weights and buffers as they are now, by their names."""
    return {name: value.detach().cpu().numpy().copy() for name, value in network.state_dict().items()}


def target_moments(data: TrainingData[Any]) -> tuple[float, float]:
    """Mean and deviation of a regression's training target; (0, 1) for classes and for a module of the user's own,

    whose outputs are in the target's unit already.
    """
    if data.facts.kind.classifies or data.facts.module_facts is not None:
        return 0.0, 1.0
    return float(data.train_target.mean()), float(data.train_target.std()) or 1.0
