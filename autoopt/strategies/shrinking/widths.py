"""Weights of a pruned network say how wide each of its layers is: enough to build it again."""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from autoopt.errors import StageFailure
from autoopt.values import FailureReason

Shapes = Mapping[str, tuple[int, ...]]


def rebuilt(network: nn.Module, weights: Mapping[str, NDArray[np.generic]]) -> nn.Module:
    """The network, each layer made as wide as its weights in the state dict `weights`, with these weights; in place.

    Counters of batches, which an artifact may leave out, stay at what a new network has. Raises StageFailure when a
    layer of another width cannot be made by its weights' shapes alone.
    """
    shapes = {name: tuple(values.shape) for name, values in weights.items()}
    for name, module in network.named_modules():
        _resize(module, name, {n.rpartition(".")[2]: s for n, s in shapes.items() if n.rpartition(".")[0] == name})
    counters = {n: v for n, v in network.state_dict().items() if n not in weights and not v.is_floating_point()}
    network.load_state_dict({**counters, **{name: torch.tensor(values) for name, values in weights.items()}})
    return network


def widths(network: nn.Module) -> dict[str, int]:
    """How many outputs each linear, convolution and embedding layer has, by its name."""
    found = {}
    for name, module in network.named_modules():
        if isinstance(module, (nn.Linear, *_CONVOLUTIONS)):
            found[name] = int(module.weight.shape[0])
        elif isinstance(module, nn.Embedding):
            found[name] = int(module.weight.shape[1])
    return found


_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_NORMALIZATIONS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def _resize(module: nn.Module, name: str, shapes: Shapes) -> None:
    """Give a module's own parameters and buffers these shapes, and itself the numbers that follow from them."""
    own = {**dict(module.named_parameters(recurse=False)), **dict(module.named_buffers(recurse=False))}
    changed = {key for key, value in own.items() if key in shapes and tuple(value.shape) != shapes[key]}
    if not changed:
        return
    for key in changed:
        fresh = torch.empty(shapes[key], dtype=own[key].dtype)
        if isinstance(own[key], nn.Parameter):
            module.register_parameter(key, nn.Parameter(fresh, requires_grad=own[key].requires_grad))
        else:
            module.register_buffer(key, fresh)
    if isinstance(module, nn.Linear):
        module.out_features, module.in_features = module.weight.shape
    elif isinstance(module, _CONVOLUTIONS):
        if module.groups == module.in_channels:  # depthwise: one group for each channel
            module.groups = module.weight.shape[0] * module.groups // module.out_channels
        module.out_channels, module.in_channels = module.weight.shape[0], module.weight.shape[1] * module.groups
    elif isinstance(module, _NORMALIZATIONS):
        module.num_features = module.weight.shape[0]
    elif isinstance(module, nn.LayerNorm):
        module.normalized_shape = tuple(module.weight.shape)
    elif isinstance(module, nn.Embedding):
        module.num_embeddings, module.embedding_dim = module.weight.shape
    elif type(module).__module__.startswith("torch."):
        message = f"layer {name} ({type(module).__name__}) cannot be built in the width that pruning left it"
        raise StageFailure(FailureReason.ERROR, message)
