"""The user's module at work for the first time: built with its defaults, and given a few rows."""

import contextlib
import inspect
import io
import logging
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoopt.errors import DataError
from autoopt.task.module.loading import user_code
from autoopt.task.module.spec import LOSSES

LOGITS, LOGIT, VALUES = "logits", "logit", "values"
_RESERVED = ("scores", "prediction")
"""Names of the deployed graph's outputs."""


def built(build: Callable[..., Any], choices: Mapping[str, Any], folder: Path) -> Any:
    """What `build` gives. Raises DataError unless it is an nn.Module."""
    from torch import nn

    shown = ", ".join(f"{name}={value!r}" for name, value in choices.items())
    with user_code(f"build({shown})", folder):
        network = build(**choices)
    if not isinstance(network, nn.Module):
        raise DataError(f"build({shown}) gave a {type(network).__name__}.", "Let it give a torch.nn.Module.")
    return network


def outputs_of(network: Any, inputs: Sequence[NDArray[Any]], folder: Path) -> NDArray[np.float64]:
    """Outputs for a few rows, in evaluation mode. Raises DataError where there are none to learn by."""
    import torch

    network.eval()
    with user_code("forward with a batch of valid", folder), torch.no_grad():
        found = network(*(torch.from_numpy(np.ascontiguousarray(a)) for a in inputs))
    rows = len(inputs[0])
    if not isinstance(found, torch.Tensor):
        raise DataError(f"The module's forward gives a {type(found).__name__}.", "Let it give one tensor.")
    if found.ndim not in (1, 2) or len(found) != rows:
        what = f"The module gives outputs of the shape {tuple(found.shape)} for {rows} rows."
        raise DataError(what, f"({rows}, classes), ({rows}, 1) or ({rows},) is due.")
    outputs: NDArray[np.float64] = found.double().numpy()
    if not np.isfinite(outputs).all():
        mend = "See to its first weights, and to inputs that are NaN or infinite."
        raise DataError("The module gives outputs that are NaN or infinite, before any training.", mend)
    return outputs


def output_form(outputs: NDArray[np.float64], loss: str, target: NDArray[Any], *, whole: bool) -> str:
    """What the outputs mean, by the loss and the targets. Raises DataError where they do not go together.

    `whole`: the targets are whole numbers by their dtype.
    """
    width = outputs.shape[1] if outputs.ndim == 2 else 1
    zero_one = bool(np.isin(target, (0.0, 1.0)).all())
    if loss in LOSSES:
        form = {"cross_entropy": LOGITS, "bce_with_logits": LOGIT}.get(loss, VALUES)
    elif whole and width > 1:
        form = LOGITS
    else:
        form = LOGIT if whole and zero_one else VALUES
    if (form == LOGITS) != (width > 1):
        due = "(rows, classes)" if form == LOGITS else "(rows, 1) or (rows,)"
        what = f"The module gives {width} output{'s' if width != 1 else ''} a row; the loss {loss} wants {due}."
        raise DataError(what, "Give another loss, or another last layer.")
    if form == LOGITS and not whole:
        raise DataError(f"The targets are {target.dtype} values; the loss {loss} wants class numbers.", "Give ints.")
    if form == LOGIT and not zero_one:
        raise DataError(f"The loss {loss} with one output a row wants the targets 0 and 1.", "Give those.")
    return form


def convolves(network: Any) -> bool:
    """Whether some layer of it is a convolution."""
    from torch import nn

    kinds = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
    return any(isinstance(layer, kinds) for layer in network.modules())


def image_axes(network: Any, inputs: Sequence[NDArray[Any]], outputs: NDArray[Any]) -> tuple[int, int] | None:
    """Height and width among the dimensions of a row of three, where half of each gives `outputs` of the same shape.

    None where it has no such input, or takes images of one size only.
    """
    import torch

    network.eval()
    for axes in ((1, 2), (0, 1)) if any(a.ndim == 4 for a in inputs) else ():
        # Every second pixel
        cut = tuple(slice(None, None, 2) if axis - 1 in axes else slice(None) for axis in range(4))
        some = (torch.from_numpy(np.ascontiguousarray(a[cut] if a.ndim == 4 else a)) for a in inputs)
        with contextlib.suppress(Exception), contextlib.redirect_stdout(sys.stderr), torch.no_grad():
            found = network(*some)
            if found.shape == outputs.shape and bool(found.isfinite().all()):
                return axes
    return None


def why_untraceable(network: Any, inputs: Sequence[NDArray[Any]]) -> str:
    """What torch.export stumbles over in the module's code, in a line; '' where it does not."""
    import torch

    network.eval()
    rows = torch.export.Dim("rows", min=1)
    given = tuple(torch.from_numpy(np.ascontiguousarray(a)) for a in inputs)
    reason = ""
    for strict in (False, True):
        try:
            # The tracer prints the whole program that it could not follow, and where it can, nothing that matters.
            with _silent(), warnings.catch_warnings(), torch.no_grad():
                warnings.simplefilter("ignore")
                torch.export.export(network, given, dynamic_shapes=tuple({0: rows} for _ in given), strict=strict)
        except Exception as error:  # noqa: BLE001 - whatever the tracer raises, it is the answer
            lines = str(error).strip().splitlines()
            reason = reason or f"{type(error).__name__}: {lines[0].strip() if lines else 'no message'}"
        else:
            return ""
    return reason


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.disable(before)


def input_names(network: Any, count: int) -> tuple[str, ...]:
    """'input' for one, else the names of `forward`'s parameters, or input_1, input_2, ..."""
    if count == 1:
        return ("input",)
    parameters = list(inspect.signature(network.forward).parameters.values())
    plain = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)][:count]
    if len(plain) < count or set(plain) & set(_RESERVED):
        return tuple(f"input_{k + 1}" for k in range(count))
    return tuple(plain)
