"""A graph, loaded and ready: onnxruntime with pinned threads and a clean screen."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, final

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as states

from autoopt.errors import BundleError
from autoopt.runtime.external import has_external_data
from autoopt.runtime.front import SCORES

CPU = ("CPUExecutionProvider",)
_FATAL = 4  # load errors come as exceptions; printed too, they would be told twice
_ORT_ERRORS = (
    states.EPFail,
    states.Fail,
    states.InvalidArgument,
    states.InvalidGraph,
    states.InvalidProtobuf,
    states.ModelLoadCanceled,
    states.NoModel,
    states.NotImplemented,
    states.RuntimeException,
)

_LEVELS = {
    "none": ort.GraphOptimizationLevel.ORT_DISABLE_ALL,
    "basic": ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    "extended": ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    "all": ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
}

ort.set_default_logger_severity(_FATAL)


class Runner(Protocol):
    """What turns a feed into scores: a Session, or a stand-in for it."""

    def run(self, feed: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """Scores (rows, classes or 1)."""


@final
class Session:
    """A loaded graph. Threads are pinned, nodes run one after another, the graph is fully optimized unless told else.

    `graph`: one of `serving.GRAPH_LEVELS`. `arena`: keep the memory of one call for the next. `where`: what messages
    call the graph. Raises BundleError when the model cannot be read or loaded, or keeps weights in other files.
    """

    def __init__(
        self,
        model: bytes | str | Path,
        *,
        threads: int = 1,
        providers: Sequence[str] = CPU,
        graph: str = "all",
        arena: bool = True,
        where: str = "the graph",
    ) -> None:
        self._where = where if isinstance(model, bytes) else str(model)
        content = model if isinstance(model, bytes) else read_model(Path(model))
        refuse_external_data(content, self._where)
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        options.graph_optimization_level = _LEVELS[graph]
        options.enable_cpu_mem_arena = arena
        options.log_severity_level = _FATAL
        # Idle threads that spin would slow whatever else is measured or trained on this machine
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = ort.InferenceSession(content, options, providers=list(providers))
        except _ORT_ERRORS as error:
            raise BundleError(
                f"{self._where} cannot be loaded by onnxruntime {ort.__version__}: {_first_line(error)}"
            ) from error
        self.threads = threads
        self.providers: tuple[str, ...] = tuple(self._session.get_providers())
        self.inputs: tuple[str, ...] = tuple(i.name for i in self._session.get_inputs())
        self.outputs: tuple[str, ...] = tuple(o.name for o in self._session.get_outputs())
        if not self.outputs:
            raise BundleError(f"{self._where} has no output.")
        self._wanted = [SCORES if SCORES in self.outputs else self.outputs[0]]

    def run(self, feed: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """Scores (rows, classes or 1). Raises BundleError when the feed does not fit the graph."""
        try:
            scores: NDArray[np.float32] = self._session.run(self._wanted, feed)[0]
        except (*_ORT_ERRORS, ValueError) as error:
            raise self._misfit(error) from error
        return scores

    def run_all(self, feed: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Every output by its name. Raises BundleError when the feed does not fit the graph."""
        try:
            return dict(zip(self.outputs, self._session.run(None, feed), strict=True))
        except (*_ORT_ERRORS, ValueError) as error:
            raise self._misfit(error) from error

    def _misfit(self, error: Exception) -> BundleError:
        return BundleError(f"{self._where} did not run on these inputs: {_first_line(error)}")


def read_model(path: Path) -> bytes:
    """A graph's file. Raises BundleError."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror or error}. Export again.") from error


def refuse_external_data(content: bytes, where: str) -> None:
    """Raises BundleError for a graph that would open files by whatever path it says."""
    try:
        elsewhere = has_external_data(content)
    except ValueError as error:
        raise BundleError(f"{where} is not an ONNX graph: {error}. Export again.") from error
    if elsewhere:
        raise BundleError(f"{where} keeps weights in other files, which is refused. Use a graph that is one file.")


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
