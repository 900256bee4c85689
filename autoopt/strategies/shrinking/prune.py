"""What of a trained network is taken away, and how the rest is fine-tuned."""

import importlib.util
from dataclasses import dataclass
from typing import ClassVar, final

from autoopt.space.domains import Value
from autoopt.strategies.base import NETWORKS, Stage, Strategy, choice, real, whole
from autoopt.task.facts import TaskFacts
from autoopt.values import Slot

NONE = "none"
CHANNELS = "channels"
_SOMETHING = ("channels", "magnitude", "random")


@final
@dataclass(frozen=True, kw_only=True)
class Prune(Strategy):
    """Pruning of a trained network, followed by fine-tuning; the training itself is not repeated.

    * channels: whole channels, units and embedding columns with the smallest weights are removed from all layers that
      share them (Fang et al. 2023, "DepGraph"). The network that is left is smaller and faster; a share of 0.5 leaves
      about a quarter of the weights between layers, and half of the embeddings; of embeddings that are pooled in two
      ways (embedding_bag.pooling: mean_max), and of those of categories in tables, all. Needs torch-pruning (the extra
      `pruning`).
    * magnitude: the smallest weights of all layers become zero (Han et al. 2015, "Learning both Weights and
      Connections"). The graph keeps its shape: it compresses better, but takes as long and as many bytes unpacked.
    * random: the same with weights drawn by chance, to see what choosing them is worth.

    When it helps: limits on size or latency; a wide network, trained and then pruned, is often better than a narrow one
    that was trained as such. share 0.05 to 0.95 of the weights, or of each layer's width; steps 1 to 5, with
    fine-tuning after each (gradual: Zhu & Gupta 2017); epochs 1 to 50 after each step; rate_share 0.01 to 1 times the
    training's learning rate.

    taught 0 to 1: the share of the loss that is the distance to what the network says that was not pruned (Hinton,
    Vinyals & Dean 2015), of each batch as it is learned from, in int8 that follows too; a step takes 1.3 times as long.
    It helps where that one knows more than the rows tell, as one that came trained: with a fifth of the rows that it
    had learned from, at 0.5, digits +0.24 points of accuracy, Friedman's function -1 % of RMSE. With the same rows it
    helps classes little (digits 0.0, CIFAR-10 +0.25 points) and harms values (+0.3 and +1.3 %). 0.9 is no better.
    """

    name: ClassVar[str] = "prune"
    stage: ClassVar[Stage] = "shrink"
    when: ClassVar = {"model": NETWORKS}
    field_when: ClassVar = {
        "share": {"prune": _SOMETHING},
        "steps": {"prune": _SOMETHING},
        "epochs": {"prune": _SOMETHING},
        "rate_share": {"prune": _SOMETHING},
        "taught": {"prune": _SOMETHING},
    }

    form: str = choice(NONE, *_SOMETHING, main=True, help="what a trained network loses")
    share: float = real(0.3, low=0.05, high=0.95, help="share of each layer's width, or of the weights, that goes")
    steps: int = whole(1, low=1, high=5, help="how many times something goes, with fine-tuning after each")
    epochs: int = whole(4, low=1, high=50, log=True, help="passes over the training rows after each step")
    rate_share: float = real(0.3, low=0.01, high=1.0, log=True, help="learning rate, times that of the training")
    taught: float = real(0.0, low=0.0, high=1.0, help="share of the loss that is the distance to the unpruned network")

    @classmethod
    def value_applies(cls, value: Value, task: TaskFacts, slot: Slot) -> str | None:
        own = task.module_facts
        if value != "none" and own is not None and own.untraceable:
            return f"torch.export cannot trace the module: {own.untraceable}"
        if value == CHANNELS and importlib.util.find_spec("torch_pruning") is None:
            return "it needs torch-pruning: pip install 'autoopt[pruning]'"
        return None
