"""OpenVINO on the CPU, of the extra `openvino`: numbers and pixels, networks and what ONNX itself defines."""

import io
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final, final

import numpy as np
from numpy.typing import NDArray

from autoopt.errors import BundleError
from autoopt.runtime.engines.base import Engine, thread_counts
from autoopt.runtime.engines.signal_stack import own_signal_stack
from autoopt.runtime.front import SCORES
from autoopt.runtime.serving import Serving
from autoopt.runtime.session import Runner, refuse_external_data

if TYPE_CHECKING:
    import openvino

INSTALL: Final = "pip install 'autoopt[openvino]'"


@final
class OpenVino(Engine):
    """In float32 throughout, as without a hint it takes bfloat16 where the processor has it; one stream of work."""

    name: ClassVar[str] = "openvino"
    distribution: ClassVar[str] = "openvino"
    install: ClassVar[str] = INSTALL
    load_s: ClassVar[float] = 0.3

    def options(self, cores: int) -> Mapping[str, tuple[Any, ...]]:
        return {"threads": thread_counts(cores)}

    def load(self, content: bytes, serving: Serving, *, where: str = "the graph") -> Runner:
        if self.absence:
            raise BundleError(f"{where} cannot be run: {self.absence}")
        refuse_external_data(content, where)
        return OpenVinoSession(content, threads=serving.threads, where=where)


@final
class OpenVinoSession:
    """A compiled graph. Raises BundleError for one that reads texts or has operators that OpenVINO does not know."""

    def __init__(self, content: bytes, *, threads: int, where: str) -> None:
        import openvino

        self._where = where
        try:
            core = openvino.Core()
            model = core.read_model(io.BytesIO(content))
            self._types = {i.get_any_name(): _numpy_type(i) for i in model.inputs}
            self._shapes = {i.get_any_name(): _shape(i) for i in model.inputs}
            scores = _scores(model.outputs)
            self._columns = _shape(scores)
            wanted = openvino.Model([scores], model.get_parameters(), "scores")
            with own_signal_stack():
                self._compiled = core.compile_model(wanted, "CPU", _settings(threads))
        except (RuntimeError, TypeError, ValueError) as error:
            raise BundleError(f"{where} cannot be run by OpenVINO: {_reason(error)}") from error
        texts = [name for name, kind in self._types.items() if kind is None]
        if texts:
            raise BundleError(f"{where} cannot be run by OpenVINO: {texts[0]!r} is text, which it does not take")
        if any(i.get_partial_shape()[0].is_static for i in model.inputs):
            raise BundleError(f"{where} cannot be run by OpenVINO: it takes a fixed number of rows")
        self._requests = threading.local()  # a request serves one caller at a time

    def run(self, feed: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """Scores (rows, classes or 1). Raises BundleError when the feed does not fit the graph."""
        misfit = self._misfit(feed)
        if misfit:
            raise BundleError(f"{self._where} did not run on these inputs: {misfit}")
        if not len(next(iter(feed.values()))):
            return np.zeros((0, *(size or 1 for size in self._columns or (1,))), dtype=np.float32)
        try:
            found = self._request().infer({name: np.ascontiguousarray(values) for name, values in feed.items()})
        except (RuntimeError, TypeError, ValueError) as error:
            raise BundleError(f"{self._where} did not run on these inputs: {_reason(error)}") from error
        scores: NDArray[np.float32] = next(iter(found.values()))
        return scores if scores.ndim > 1 else scores[:, None]

    def _request(self) -> "openvino.InferRequest":
        own: openvino.InferRequest | None = getattr(self._requests, "own", None)
        if own is None:
            own = self._requests.own = self._compiled.create_infer_request()
        return own

    def _misfit(self, feed: Mapping[str, NDArray[Any]]) -> str:
        """What OpenVINO would take without a word: inputs that are absent, of another type, of another shape."""
        if set(feed) != set(self._types):
            return f"inputs are {sorted(feed)}, the graph has {sorted(self._types)}"
        for name, values in feed.items():
            if values.dtype != self._types[name]:
                return f"{name!r} is {values.dtype}, the graph takes {self._types[name]}"
            due = self._shapes[name]
            if values.ndim != len(due) + 1 or any(
                b not in (a, None) for a, b in zip(values.shape[1:], due, strict=True)
            ):
                return f"{name!r} is {values.shape}, the graph takes {('rows', *due)}"
        return ""


def _settings(threads: int) -> dict[str, Any]:
    return {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1}


def _numpy_type(port: "openvino.Output") -> np.dtype[Any] | None:
    """None for texts."""
    kind = port.get_element_type()
    return None if kind.get_type_name() == "string" else np.dtype(kind.to_dtype())


def _shape(port: "openvino.Output") -> tuple[int | None, ...]:
    """Of one row; None where any size will do."""
    return tuple(None if size.is_dynamic else size.get_length() for size in list(port.get_partial_shape())[1:])


def _scores(outputs: "Sequence[openvino.Output]") -> "openvino.Output":
    """Ours by its name; of a graph that was not made here the first of floats, (rows, k) or (rows,), as a Session's."""
    floats = [o for o in outputs if o.get_element_type().is_real() and len(o.get_partial_shape()) in (1, 2)]
    named = [o for o in outputs if SCORES in o.get_names()]
    return [*named, *floats, outputs[0]][0]


def _reason(error: Exception) -> str:
    """The line of OpenVINO's message that says something: those above it name files of its source."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if not line.startswith(("Exception from", "Check '"))]
    return (told or lines or [type(error).__name__])[0]
