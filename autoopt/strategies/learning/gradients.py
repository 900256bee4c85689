"""What happens between a batch and the step that is made of it."""

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar, final

from autoopt.strategies.base import NETWORKS, Stage, Strategy, Topic, choice, real, whole

if TYPE_CHECKING:  # the catalogue is read by processes that never train: they do without torch
    import torch
    from torch import nn

    from autoopt.strategies.learning.source import Batch


def parts(batch: "Batch", count: int) -> "list[Batch]":
    """The batch in `count` parts of about equal size; in fewer where a part would be a single row."""
    count = max(min(count, len(batch) // 2), 1)
    if count == 1:
        return [batch]
    from autoopt.strategies.learning.source import Batch

    cut = [values.tensor_split(count) for values in (*batch.inputs, batch.target)]
    return [Batch(inputs=tuple(inputs), target=target) for *inputs, target in zip(*cut, strict=True)]


def blocks_of(network: "nn.Module") -> "list[nn.Module]":
    """What a deep network is made of: the members of its own lists and chains of modules."""
    from torch import nn

    chains = [child for child in network.children() if isinstance(child, nn.ModuleList | nn.Sequential)]
    if isinstance(network, nn.Sequential):
        chains = [network]
    return [block for chain in chains for block in chain if any(True for _ in block.parameters())]


@contextlib.contextmanager
def recomputed(network: "nn.Module") -> "Iterator[None]":
    """Within it, the network's blocks keep nothing for the backward pass but their inputs."""
    import torch
    from torch.utils.checkpoint import checkpoint

    blocks = blocks_of(network)
    for block in blocks:
        contexts = partial(_contexts, block)
        again = partial(checkpoint, block.forward, use_reentrant=False, context_fn=contexts)
        block.forward = torch.compiler.disable(again)  # what is run twice must not count twice: torch.compile would
    try:
        yield
    finally:
        for block in blocks:
            del block.forward  # which uncovers its class's


def _contexts(block: "nn.Module") -> "tuple[contextlib.AbstractContextManager[None], ...]":
    return contextlib.nullcontext(), _without_statistics(block)


@contextlib.contextmanager
def _without_statistics(block: "nn.Module") -> "Iterator[None]":
    """Batch normalization saw the batch in the forward pass; the second time it must not count it again."""
    from torch.nn.modules.batchnorm import _BatchNorm

    found = [m for m in block.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    before = [(m.momentum, m.num_batches_tracked.clone()) for m in found]
    for module in found:
        module.momentum = 0.0
    try:
        yield
    finally:
        for module, (momentum, batches) in zip(found, before, strict=True):
            module.momentum = momentum
            module.num_batches_tracked.copy_(batches)


@final
@dataclass(frozen=True, kw_only=True)
class Gradients(Strategy):
    """How the gradients of a step are made, and how large they may be.

    * clip_norm 0 to 100: a gradient longer than this is cut to it (Pascanu et al. 2013); 0 is off. Against steps that
      leap away, most of all in transformers and at high rates; 1 is usual.
    * accumulate 1 to 64: a step's batch goes through the network in that many parts, and their gradients are added up.
      The step is the same (but for batch normalization, which sees the parts); the memory is that of one part.
    * recompute: the insides of blocks are computed again in the backward pass instead of kept (Chen et al. 2016):
      about a third more time for much less memory in deep networks. The gradients are the same. Such blocks are not
      compiled.
    """

    name: ClassVar[str] = "gradients"
    stage: ClassVar[Stage] = "train"
    topic: ClassVar[Topic] = Topic.OPTIMIZER
    when: ClassVar = {"model": NETWORKS}

    clip_norm: float = real(0.0, low=0.0, high=100.0, help="length to which longer gradients are cut; 0 is off")
    accumulate: int = whole(1, low=1, high=64, log=True, help="parts in which a step's batch goes through the network")
    recompute: bool = choice(False, True, help="compute the insides of blocks again instead of keeping them")

    def clip(self, parameters: "Iterable[torch.nn.Parameter]") -> None:
        """Cut the gradients of all parameters together to `clip_norm`."""
        import torch

        if self.clip_norm > 0:
            torch.nn.utils.clip_grad_norm_(list(parameters), self.clip_norm)

    def lent(self, network: "nn.Module") -> contextlib.AbstractContextManager[None]:
        """Within it, the network's blocks are recomputed if that is wanted."""
        return recomputed(network) if self.recompute else contextlib.nullcontext()
