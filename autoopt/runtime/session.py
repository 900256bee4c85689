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

_FLOATS = ("tensor(float)", "tensor(double)", "tensor(float16)")

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
        self.scores_output = SCORES if SCORES in self.outputs else self._first_scores()
        self._wanted = [self.scores_output]
        self._one_by_one = all(i.shape and i.shape[0] == 1 for i in self._session.get_inputs())

    def run(self, feed: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """Scores (rows, classes or 1). Raises BundleError when the feed does not fit the graph."""
        try:
            if self._one_by_one and len(next(iter(feed.values()))) != 1:
                return self._row_by_row(feed)
            scores: NDArray[np.float32] = self._session.run(self._wanted, feed)[0]
        except (*_ORT_ERRORS, ValueError) as error:
            raise self._misfit(error) from error
        return scores[:, None] if isinstance(scores, np.ndarray) and scores.ndim == 1 else scores

    def _row_by_row(self, feed: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """Of a graph that takes one row at a time, as others export them."""
        rows = range(len(next(iter(feed.values()))))
        each = ({name: values[row : row + 1] for name, values in feed.items()} for row in rows)
        found = [self._session.run(self._wanted, one)[0] for one in each]
        return np.concatenate([values.reshape(1, -1) for values in found])

    def _first_scores(self) -> str:
        """Of a graph that was not made here: the first output of floats, (rows, k) or (rows,)."""
        floats = [o for o in self._session.get_outputs() if o.type in _FLOATS]
        return next((o.name for o in floats if 1 <= len(o.shape or (1,)) <= 2), self.outputs[0])

    def run_all(self, feed: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Every output by its name. Raises BundleError when the feed does not fit the graph."""
        try:
            return dict(zip(self.outputs, self._session.run(None, feed), strict=True))
        except (*_ORT_ERRORS, ValueError) as error:
            raise self._misfit(error) from error

    def _misfit(self, error: Exception) -> BundleError:
        return BundleError(f"{self._where} did not run on these inputs: {_first_line(error)}")


def as_scores(values: NDArray[Any], form: str) -> NDArray[Any]:
    """An output (rows, k) as scores of each class.

    `form` is '' or 'logits' where it has a column for each; of two classes in one column 'probability' or 'logit', of
    the second.
    """
    if form == "probability":
        return np.concatenate([1 - values, values], axis=1)
    return np.concatenate([-values, values], axis=1) if form == "logit" else values


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
