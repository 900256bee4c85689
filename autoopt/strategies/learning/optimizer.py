"""Which rule turns gradients into steps, and how large they are."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, final

from autoopt.strategies.base import NETWORKS, Stage, Strategy, Topic, choice, real

if TYPE_CHECKING:  # the catalogue is read by processes that never train: they do without torch
    import torch

RATE_SHARE = "rate_share"
_AS_ADAMW = "match_rms_adamw"


def muon_matrices(network: "torch.nn.Module") -> "list[torch.nn.Parameter]":
    """The weights that Muon is for: matrices, but not tables of embeddings, whose rows are no directions."""
    from torch import nn

    tables = {id(m.weight) for m in network.modules() if isinstance(m, nn.Embedding | nn.EmbeddingBag)}
    return [p for p in network.parameters() if p.requires_grad and p.ndim == 2 and id(p) not in tables]


def rate_groups(
    network: "torch.nn.Module", parameters: "Iterable[torch.nn.Parameter]"
) -> "Iterator[tuple[float, list[torch.nn.Parameter]]]":
    """The parameters by the share of the learning rate at which they learn, the others' 1 first.

    A module with an attribute `learning_rate_share` asks for it: pre-trained parts move more carefully than new ones.
    """
    asking = [module for module in network.modules() if hasattr(module, "learning_rate_share")]
    shares = {id(p): float(module.learning_rate_share) for module in asking for p in module.parameters()}
    found: dict[float, list[torch.nn.Parameter]] = {1.0: []}
    for parameter in parameters:
        found.setdefault(shares.get(id(parameter), 1.0), []).append(parameter)
    yield from ((share, members) for share, members in found.items() if members)


def set_rate(optimizer: "torch.optim.Optimizer", rate: float) -> None:
    """Give every group of parameters the learning rate `rate`, or its share of it."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group[RATE_SHARE]


def parameter_groups(parameters: "Iterable[torch.nn.Parameter]", weight_decay: float) -> list[dict[str, Any]]:
    """Matrices decay; biases and the scales of normalization do not: pulling those to zero only costs quality."""
    found = [p for p in parameters if p.requires_grad]
    groups: list[dict[str, Any]] = [
        {"params": [p for p in found if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in found if p.ndim < 2], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


@final
@dataclass(frozen=True, kw_only=True)
class Optimizer(Strategy):
    """The training rule.

    * adamw: Adam with decoupled weight decay (Loshchilov & Hutter 2019); the safe first choice.
    * adam: Kingma & Ba 2015; its decay is part of the gradient.
    * sgd: with momentum; cheapest per step, often best with a long schedule and a learning rate 10 to 100 times higher.
    * rmsprop: Hinton 2012; adaptive, without Adam's average of gradients.
    * muon: steps of matrices are made orthogonal (Jordan et al. 2024; Liu et al. 2025), scaled to be as long as those
      of adamw, which takes the rest: biases, scales, convolutions, embeddings. For networks that are mostly matrices.

    learning_rate 1e-5 to 1 (the peak of the schedule); weight_decay 1e-8 to 1, on matrices only; momentum 0 to 0.99
    for sgd, rmsprop and muon; nesterov for sgd: the gradient is taken a step ahead (Sutskever et al. 2013).
    """

    name: ClassVar[str] = "optimizer"
    stage: ClassVar[Stage] = "train"
    topic: ClassVar[Topic] = Topic.OPTIMIZER
    when: ClassVar = {"model": NETWORKS}
    field_when: ClassVar = {
        "momentum": {"optimizer": ("sgd", "rmsprop", "muon")},
        "nesterov": {"optimizer": ("sgd",)},
    }

    rule: str = choice(
        "adamw", "adam", "sgd", "rmsprop", "muon", main=True, help="rule that turns gradients into steps"
    )
    learning_rate: float = real(1e-3, low=1e-5, high=1.0, log=True, help="peak step size")
    weight_decay: float = real(1e-4, low=1e-8, high=1.0, log=True, help="pull of the weight matrices towards zero")
    momentum: float = real(0.9, low=0.0, high=0.99, help="share of the last step that is kept (sgd, rmsprop, muon)")
    nesterov: bool = choice(False, True, help="take the gradient a step ahead (sgd with momentum)")

    def build(self, network: "torch.nn.Module") -> "tuple[torch.optim.Optimizer, ...]":
        """The torch optimizers of the network's parameters, at the peak learning rate; each parameter is in one."""
        import torch

        matrices = muon_matrices(network) if self.rule == "muon" else []
        taken = {id(p) for p in matrices}
        others = [p for p in network.parameters() if id(p) not in taken]
        groups = [
            {**group, **self._rate(share)}
            for share, members in rate_groups(network, others)
            for group in parameter_groups(members, self.weight_decay)
        ]
        found = [self._rest(groups)] if groups else []
        if matrices:
            groups = [
                {"params": members, "weight_decay": self.weight_decay, **self._rate(share)}
                for share, members in rate_groups(network, matrices)
            ]
            muon = torch.optim.Muon(groups, lr=self.learning_rate, momentum=self.momentum, adjust_lr_fn=_AS_ADAMW)
            found.append(muon)
        return tuple(found)

    def _rate(self, share: float) -> dict[str, float]:
        """Of a group of parameters that learns at that share of the rate."""
        return {"lr": share * self.learning_rate, RATE_SHARE: share}

    def _rest(self, groups: list[dict[str, Any]]) -> "torch.optim.Optimizer":
        """The optimizer of everything that is not Muon's."""
        import torch

        # Fused: one kernel for all parameters; a loop over them takes a third of a small network's step on a CPU.
        if self.rule in ("adamw", "muon"):
            return torch.optim.AdamW(groups, lr=self.learning_rate, fused=True)
        if self.rule == "adam":
            return torch.optim.Adam(groups, lr=self.learning_rate, fused=True)
        if self.rule == "sgd":
            nesterov = self.nesterov and self.momentum > 0
            return torch.optim.SGD(groups, lr=self.learning_rate, momentum=self.momentum, nesterov=nesterov)
        return torch.optim.RMSprop(groups, lr=self.learning_rate, momentum=self.momentum)
