"""A torch network as an ONNX graph, by torch.export."""

import contextlib
import io
import logging
import warnings
from collections.abc import Sequence
from functools import cache
from typing import Any

import onnx
import torch
from torch import Tensor, nn
from torch.onnx._internal.exporter._registration import ONNXRegistry

from autoopt.errors import StageFailure
from autoopt.strategies.graph import drop_notes
from autoopt.strategies.model import IR_VERSION, OPSET, SCORES
from autoopt.values import FailureReason

ROWS = "rows"


def exported_graph(
    network: nn.Module, inputs: tuple[Tensor, ...], names: tuple[str, ...], *, free: Sequence[str] = (ROWS,)
) -> onnx.ModelProto:
    """The float graph of `network` in evaluation mode: inputs `names`, output SCORES, first dimensions `free`.

    `network.forward` takes `*inputs`, as `Scored` does. `inputs` are two or more along each free dimension (a single
    one would be taken for a constant). Raises StageFailure with the tracer's reason when torch.export cannot follow the
    network's code.
    """
    training = network.training
    network.eval()
    dimensions = {place: torch.export.Dim(name, min=1) for place, name in enumerate(free)}
    shapes = (tuple(dimensions for _ in inputs),)  # one entry for all of `*inputs`
    try:
        with _quiet(), _operators_kept(), torch.no_grad():
            program = torch.onnx.export(
                network,
                inputs,
                dynamo=True,
                opset_version=OPSET,
                input_names=list(names),
                output_names=[SCORES],
                dynamic_shapes=shapes,
                external_data=False,
                verbose=False,
            )
    except Exception as error:
        raise StageFailure(FailureReason.ERROR, f"torch.export cannot trace the network: {_reason(error)}") from error
    finally:
        network.train(training)
    model: onnx.ModelProto = program.model_proto
    model.ir_version = IR_VERSION
    drop_notes(model)
    return model


from_torchlib = ONNXRegistry.from_torchlib


@cache
def operators(*, opset_version: int) -> ONNXRegistry:
    """What the exporter writes for each of torch's operators, to be read only."""
    with _quiet():
        return from_torchlib(opset_version=opset_version)


@contextlib.contextmanager
def _operators_kept() -> Any:
    """For every graph the exporter reads the source of its 500 operators anew: a third of a second of a whole one."""
    ONNXRegistry.from_torchlib = staticmethod(operators)
    try:
        yield
    finally:
        ONNXRegistry.from_torchlib = from_torchlib


def _reason(error: BaseException) -> str:
    """The innermost cause in a line: the exporter wraps what went wrong in advice."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line for line in str(error).strip().splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0].strip()}" if lines else type(error).__name__


@contextlib.contextmanager
def _quiet() -> Any:
    """The exporter prints and logs its progress."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
