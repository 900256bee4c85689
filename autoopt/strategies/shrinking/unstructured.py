"""Pruning of single weights: they become zeros, and stay so while the rest is fine-tuned."""

import contextlib
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.nn.utils import prune

LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


def unstructured(network: nn.Module, share: float, how: str) -> Mapping[str, Tensor]:
    """Set that share of all weights of linear and convolution layers to zero, in place; masks by parameter name.

    `how` is 'magnitude', the smallest of all layers together (Han et al. 2015), or 'random', drawn from torch's
    generator; weights that are zero already go first with both. A mask has the shape of its weight, and 1 where the
    weight is kept.
    """
    layers = {name: layer for name, layer in network.named_modules() if isinstance(layer, LAYERS)}
    places = [(layer, "weight") for layer in layers.values()]
    if not places:
        return {}
    scores = {place: _importance(place[0].weight.detach(), how) for place in places}
    prune.global_unstructured(places, pruning_method=prune.L1Unstructured, importance_scores=scores, amount=share)
    masks = {}
    for name, layer in layers.items():
        masks[f"{name}.weight" if name else "weight"] = layer.weight_mask.clone()
        prune.remove(layer, "weight")
    return masks


def _importance(weight: Tensor, how: str) -> Tensor:
    if how == "magnitude":
        return weight.abs()
    return (torch.rand_like(weight) + 1e-3) * (weight != 0)


@contextlib.contextmanager
def masked(network: nn.Module, masks: Mapping[str, Tensor]) -> Iterator[None]:
    """Within, weights whose mask is 0 are 0 in every forward pass, whatever an optimizer made of them; after it too.

    A hook and not torch's own reparametrization: that one renames weights, and copies of the network would fail.
    """
    owners = [(network.get_submodule(name.rpartition(".")[0]), mask) for name, mask in masks.items()]

    def apply(layer: nn.Module, mask: Tensor) -> None:
        with torch.no_grad():
            layer.weight.mul_(mask.to(layer.weight.device))

    hooks = [
        layer.register_forward_pre_hook(lambda module, _, mask=mask: apply(module, mask)) for layer, mask in owners
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
        for layer, mask in owners:
            apply(layer, mask)


def masks_of_zeros(network: nn.Module) -> Mapping[str, Tensor]:
    """Masks by parameter name that hold what is zero now in linear and convolution layers."""
    layers = {name: layer for name, layer in network.named_modules() if isinstance(layer, LAYERS)}
    return {f"{n}.weight" if n else "weight": (layer.weight != 0).to(layer.weight) for n, layer in layers.items()}


def zero_share(network: nn.Module) -> float:
    """Share of the weights of linear and convolution layers that are exactly 0."""
    weights = [layer.weight for layer in network.modules() if isinstance(layer, LAYERS)]
    zeros = sum(int((w == 0).sum()) for w in weights)
    return zeros / max(sum(int(w.numel()) for w in weights), 1)
