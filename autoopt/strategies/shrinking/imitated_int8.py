"""A float network that computes as its graph will in static int8: what `deploying.static` does, done to each call.

Calls are caught as they are made, so that a network may be written in any way: layers, functions or operators.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final, final

import onnx
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from autoopt.strategies.deploying.convolutions import mostly_convolutions
from autoopt.strategies.deploying.quantizer import columns_differ
from autoopt.strategies.learning.judge import Judge

LEVELS: Final = 255
"""Steps of an unsigned range."""
WEIGHT_STEPS: Final = 127
"""Steps on either side of zero of a weight."""
LEAST_SCALE: Final = 1e-12

CONVOLUTIONS: Final = ("conv1d", "conv2d", "conv3d")
PRODUCTS: Final = ("matmul", "mm", "bmm")
CUTS: Final = ("relu", "relu_", "relu6", "hardtanh", "clamp")
POOLS: Final = ("max_pool1d", "max_pool2d", "max_pool3d")

_NORMALIZATION: Final = ("input", "running_mean", "running_var", "weight", "bias", "training", "momentum", "eps")
Call = Callable[..., Any]
Parts = Callable[[], Iterator[tuple[Tensor, ...]]]
"""Inputs of a network, some rows at a time."""


@contextlib.contextmanager
def imitated_int8(network: nn.Module, graph: onnx.ModelProto) -> "Iterator[Int8]":
    """Within it, `network` computes as `graph`, its own in float, will in static int8; gradients are as if it did not.

    Ranges are those of each batch. There is no state that could go stale while weights change, and nothing to keep in
    a checkpoint; what `Int8.judge` gives goes by the ranges of the graph.
    """
    convolves = mostly_convolutions(graph)
    mode = Int8(network, between=convolves, per_channel=convolves or columns_differ(graph))
    own, plain = vars(network).get("forward"), network.forward

    def forward(*inputs: Any, **named: Any) -> Any:
        with mode:
            mode.begin()
            return plain(*inputs, **named)

    network.forward = forward
    try:
        yield mode
    finally:
        del network.forward  # which uncovers its class's
        if own is not None:
            network.forward = own


@final
class Int8(TorchFunctionMode):  # type: ignore[misc]  # torch is not followed: its types are Any
    """Rounds what goes into products, and with `between` into convolutions and what lies between them too."""

    def __init__(self, network: nn.Module, *, between: bool, per_channel: bool) -> None:
        super().__init__()
        self._network = network
        self._between = between  # then all see what one asked for; else others than products see what was not rounded
        self._per_channel = per_channel
        self._normalizations: dict[int, Mapping[str, Any]] = {}  # what follows a linear layer, by its weight's id
        self._ranges: list[tuple[Tensor, Tensor]] | None = None  # (lowest, highest) in the order of a forward pass
        self._watches = False
        self._pass, self._place = object(), 0  # the forward pass that runs, and the place in that order
        self._lasting = {id(t) for t in (*network.parameters(), *network.buffers())}  # on which no pass leaves a mark
        self._calls: dict[str, Callable[[Call, Any, Any], Any]] = {
            "linear": self._weighted,
            "batch_norm": self._batch_norm,
            "scaled_dot_product_attention": self._attention,
        }
        self._calls |= dict.fromkeys(PRODUCTS, self._product)
        if between:
            self._calls |= dict.fromkeys(CONVOLUTIONS, self._weighted)
            self._calls |= {"add": self._addition, "add_": self._addition_in_place}
            self._calls |= dict.fromkeys(CUTS, self._cut) | dict.fromkeys(POOLS, self._pool)

    def judge(self, judge: Judge, calibration: Parts) -> Judge:
        """One that sees what will be deployed: each time, ranges are first taken of the network on `calibration`."""

        def parts() -> Iterator[tuple[Tensor, ...]]:
            self._ranges, self._watches = [], True
            try:
                for inputs in calibration():
                    self._network(*inputs)
                self._watches = False
                yield from judge.parts()
            finally:
                self._ranges, self._watches = None, False

        return replace(judge, parts=parts)

    def begin(self) -> None:
        """A forward pass begins: what tensors were marked with in others means nothing any more."""
        self._pass, self._place = object(), 0

    def __torch_function__(self, function: Call, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(function, "__name__", "")
        if self._between and not name.endswith("_"):  # what is changed in place is the tensor itself
            args = self._as_others_see(args)
        imitation = self._calls.get(name)
        return function(*args, **(kwargs or {})) if imitation is None else imitation(function, args, kwargs or {})

    def _weighted(self, function: Call, args: Any, kwargs: Any) -> Any:
        named = dict(zip(("input", "weight"), args, strict=False)) | kwargs
        values, weight = named.pop("input"), named.pop("weight")
        result = function(self._rounded(values), self._rounded_weight(weight), *args[2:], **named)
        result.product_of = id(weight)
        return result

    def _batch_norm(self, function: Call, args: Any, kwargs: Any) -> Any:
        named = dict(zip(_NORMALIZATION, args, strict=False)) | kwargs
        linear = getattr(named["input"], "product_of", None)
        if linear is not None and named["running_var"] is not None:
            self._normalizations[linear] = named | {"input": None}
        return function(*args, **kwargs)

    def _product(self, function: Call, args: Any, kwargs: Any) -> Any:
        operands = [self._rounded_matrix(a) if isinstance(a, nn.Parameter) else self._rounded(a) for a in args[:2]]
        return function(*operands, *args[2:], **kwargs)

    def _addition(self, function: Call, args: Any, kwargs: Any) -> Any:
        if len(args) != 2 or kwargs or not all(isinstance(a, Tensor) for a in args):
            return function(*args, **kwargs)
        return self._rounded(torch.add(*map(self._rounded, args)))

    def _addition_in_place(self, function: Call, args: Any, kwargs: Any) -> Any:
        if len(args) != 2 or kwargs or not (isinstance(args[1], Tensor) and args[0].is_floating_point()):
            return function(*args, **kwargs)
        total, other = args
        function(total.copy_(self._rounded(total)), self._rounded(other))
        total.int8 = None
        return self._rounded(total)

    def _cut(self, function: Call, args: Any, kwargs: Any) -> Any:
        # The runtime drops what cuts off a range, and takes the range behind it.
        return self._rounded(function(*args, **kwargs))

    def _pool(self, function: Call, args: Any, kwargs: Any) -> Any:
        return function(self._rounded(args[0]), *args[1:], **kwargs)

    def _attention(self, function: Call, args: Any, kwargs: Any) -> Any:
        """In the exported graph it is two products with a softmax between them."""
        if len(args) != 3 or kwargs.keys() - {"attn_mask"}:
            return function(*map(self._rounded, args[:3]), *args[3:], **kwargs)
        queries, keys, values = map(self._rounded, args)
        shares = queries @ keys.transpose(-2, -1) * queries.shape[-1] ** -0.5
        mask = kwargs.get("attn_mask")
        if mask is not None:
            shares = shares.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else shares + mask
        return self._rounded(shares.softmax(-1)) @ values

    def _rounded(self, values: Any) -> Any:
        """Numbers on 256 levels of their range, in the type they came in; anything else as it is."""
        plain = not isinstance(values, Tensor) or not values.is_floating_point() or values.numel() == 0
        if plain:
            return values
        if (known := self._known(values)) is not None:
            return known
        exact = values.float()
        low, high = self._range(exact.detach())
        if self._watches:
            self._mark(values, values)  # it would be rounded, and is not to be looked at twice
            return values
        scale = ((high - low) / LEVELS).clamp_min(LEAST_SCALE)
        zero = (-low / scale).round().clamp(0, LEVELS).to(torch.int32)
        found = torch.fake_quantize_per_tensor_affine(exact, scale, zero, 0, LEVELS).to(values.dtype)
        self._mark(values, found)
        self._mark(found, found)
        return found

    def _mark(self, values: Tensor, rounded: Tensor) -> None:
        if id(values) not in self._lasting:
            values.int8 = self._pass, None if rounded is values else rounded  # and not itself: that would be a circle

    def _known(self, values: Tensor) -> Tensor | None:
        """What was made of these numbers in this pass; themselves where they have levels already."""
        of_pass, found = getattr(values, "int8", None) or (None, None)
        if of_pass is not self._pass:
            return None
        return values if found is None else found

    def _as_others_see(self, values: Any) -> Any:
        """Arguments of a call, rounded where another call rounded them."""
        if type(values) in (tuple, list):
            return type(values)(map(self._as_others_see, values))
        known = self._known(values) if isinstance(values, Tensor) else None
        return values if known is None else known

    def _range(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """(lowest, highest) of the batch with zero among them; of calibration's rows where ranges are known."""
        place, self._place = self._place, self._place + 1
        if self._ranges is not None and not self._watches and place < len(self._ranges):
            return self._ranges[place]
        low, high = values.aminmax()
        low, high = low.clamp_max(0), high.clamp_min(0)
        if self._ranges is not None and self._watches:
            if place < len(self._ranges):
                known_low, known_high = self._ranges.pop(place)
                low, high = torch.minimum(low, known_low), torch.maximum(high, known_high)
            self._ranges.insert(place, (low, high))
        return low, high

    def _rounded_weight(self, weight: Tensor) -> Tensor:
        """A weight (out, ...) on its grid: one scale for each output, or one for all of them.

        Batch normalization after it will be folded in: a scale for each output takes that in as it is, and where there
        is one for all, each output's share of it is taken back.
        """
        if self._watches:
            return weight
        widest = weight.detach().float().flatten(1).abs().amax(1)
        gains = torch.ones_like(widest)
        if not self._per_channel:
            found = self._normalizations.get(id(weight))
            if found is not None:
                gains = (found["running_var"] + found["eps"]).rsqrt()
                gains = gains if found["weight"] is None else gains * found["weight"].detach().abs()
                gains = gains.clamp_min(LEAST_SCALE)
            widest = (widest * gains).amax() / gains
        return _on_grid(weight, widest / WEIGHT_STEPS, axis=0)

    def _rounded_matrix(self, matrix: Tensor) -> Tensor:
        """The same for a matrix that stands in a product as it is, its outputs last."""
        if self._watches or matrix.ndim != 2:
            return matrix
        widest = matrix.detach().float().abs().amax(0)
        widest = widest if self._per_channel else widest.amax().expand_as(widest)
        return _on_grid(matrix, widest / WEIGHT_STEPS, axis=1)


def _on_grid(weight: Tensor, scales: Tensor, *, axis: int) -> Tensor:
    zeros = torch.zeros_like(scales, dtype=torch.int32)
    exact, scales = weight.float(), scales.clamp_min(LEAST_SCALE)
    found = torch.fake_quantize_per_channel_affine(exact, scales, zeros, axis, -WEIGHT_STEPS, WEIGHT_STEPS)
    return found.to(weight.dtype)
