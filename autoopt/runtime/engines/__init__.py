"""The runtimes that a graph can be run by, one file each; the first is there always."""

from typing import Final

from autoopt.runtime.engines.base import Engine
from autoopt.runtime.engines.onnxruntime import OnnxRuntime
from autoopt.runtime.engines.onnxruntime_gpu import Cuda, TensorRt
from autoopt.runtime.engines.openvino import OpenVino

ENGINES: Final[tuple[Engine, ...]] = (OnnxRuntime(), Cuda(), TensorRt(), OpenVino())
"""In the order in which they are tried."""

__all__ = ["ENGINES", "Engine", "engine", "engine_names"]


def engine(name: str) -> Engine | None:
    """The runtime of that name; None for a name that is not known."""
    return next((e for e in ENGINES if e.name == name), None)


def engine_names() -> tuple[str, ...]:
    """Of all, whether they are here or not."""
    return tuple(e.name for e in ENGINES)
