"""Structured pruning: whole channels, units and embedding columns removed, so that what is left is smaller and faster.

torch-pruning follows a channel through the network (Fang et al. 2023, "DepGraph: Towards Any Structural Pruning"): all
layers that share it, over skips and normalizations, lose it together.
"""

import copy
import warnings
from collections.abc import Iterator, Mapping
from typing import Any, Final

import torch
from torch import Tensor, nn

from autoopt.errors import StageFailure
from autoopt.values import FailureReason

ROUND_TO: Final = 8
"""Widths stay multiples of this: odd ones waste vector registers."""
PRODUCTS: Final = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
LIBRARY_ERRORS: Final = (ValueError, RuntimeError, LookupError, AttributeError, TypeError, AssertionError)
"""What torch-pruning, or the network after it, ends with where a network is built in a way that it cannot follow."""


def without_channels(
    network: nn.Module,
    inputs: tuple[Tensor, ...],
    share: float,
    *,
    steps: int = 1,
    heads: Mapping[str, int] | None = None,
) -> Iterator[nn.Module]:
    """A copy of the network after each of `steps` prunings; after the last, layers have lost `share` of their width.

    The copy is the same object each time: what is done to it between two steps, such as fine-tuning, is kept. Channels
    with the smallest weights go first; what was frozen learns again, as what it goes with has changed. `inputs` are
    some rows that the network can be run on. `heads` names the linear layers that give queries, keys and values at
    once, and their numbers of attention heads, which stay. The output layer keeps its width. Raises StageFailure when
    torch-pruning cannot follow the network.
    """
    pruned = _learning(copy.deepcopy(network).eval())
    expected = _output_shape(pruned, inputs)
    pruner = _followed(lambda: _pruner(pruned, inputs, share, steps, heads or {}))
    for _ in range(steps):
        pruned.eval()
        _followed(pruner.step)
        found = _followed(lambda: _output_shape(pruned, inputs))
        if found != expected:
            raise _cannot(f"its outputs would become {found} instead of {expected}")
        yield pruned


def _learning(network: nn.Module) -> nn.Module:
    """With no weights frozen: torch-pruning follows gradients."""
    for parameter in network.parameters():
        parameter.requires_grad_(parameter.is_floating_point())
    return network


def _pruner(network: nn.Module, inputs: tuple[Tensor, ...], share: float, steps: int, heads: Mapping[str, int]) -> Any:
    import torch_pruning

    return torch_pruning.pruner.BasePruner(
        network,
        inputs if len(inputs) > 1 else inputs[0],
        importance=torch_pruning.importance.GroupMagnitudeImportance(p=2),
        pruning_ratio=share,
        iterative_steps=steps,
        ignored_layers=[output_layer(network, inputs)],
        round_to=ROUND_TO,
        root_module_types=[*PRODUCTS, nn.Embedding],
        num_heads={network.get_submodule(name): count for name, count in heads.items()},
        prune_head_dims=True,
    )


def output_layer(network: nn.Module, inputs: tuple[Tensor, ...]) -> nn.Module:
    """The linear or convolution layer that runs last. Raises ValueError when there is none."""
    ran: list[nn.Module] = []
    layers = [layer for layer in network.modules() if isinstance(layer, PRODUCTS)]
    hooks = [layer.register_forward_hook(lambda layer, *_: ran.append(layer)) for layer in layers]
    try:
        _output_shape(network, inputs)
    finally:
        for hook in hooks:
            hook.remove()
    if not ran:
        raise ValueError("it has no linear or convolution layer")
    return ran[-1]


def _output_shape(network: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[int, ...]:
    with torch.no_grad():
        return tuple(network(*inputs).shape)


def _followed(work: Any) -> Any:
    """Do something of the library's; what it ends with becomes a StageFailure."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns of parameters that lie outside of layers, and handles them
            return work()
    except LIBRARY_ERRORS as error:
        lines = str(error).strip().splitlines() or [""]
        raise _cannot(f"{type(error).__name__}: {lines[0]}") from error


def _cannot(reason: str) -> StageFailure:
    return StageFailure(FailureReason.ERROR, f"channels of this network cannot be removed: {reason}")
