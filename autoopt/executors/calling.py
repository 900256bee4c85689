"""Calls an entry point and says how it ended. The one place of the package that catches broadly."""

import importlib
import json
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from autoopt.errors import StageFailure
from autoopt.executors.base import EntryPoint, Reporter
from autoopt.values import FailureReason, Slot

_MESSAGE_CHARS = 500
_DETAIL_CHARS = 20_000
_OUT_OF_MEMORY_TYPES = {"MemoryError", "_ArrayMemoryError", "OutOfMemoryError"}
_OUT_OF_MEMORY_TEXTS = (
    "CUDA out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "std::bad_alloc",
    "DefaultCPUAllocator",
    "Failed to allocate memory for requested buffer",  # onnxruntime
)


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How a call ended: without a `reason` it returned, and `result_json` is the text of its result."""

    result_json: str = ""
    reason: FailureReason | None = None
    message: str = ""
    detail: str = ""


def call_guarded(action: Callable[[], str], *, escaping: tuple[type[BaseException], ...] = ()) -> Ending:
    """Run `action`; whatever it raises becomes an Ending, except the types in `escaping`."""
    try:
        return Ending(result_json=action())
    except escaping:
        raise
    # The candidate, its libraries and the user's module may raise anything at all, SystemExit included, and none of
    # it may end the worker without a word: here, and only here, everything is caught.
    except BaseException as error:  # noqa: BLE001
        return failure(error)


def call_entry(
    entry: str,
    payload: Mapping[str, Any],
    slot: Slot,
    report: Reporter,
    *,
    escaping: tuple[type[BaseException], ...] = (),
) -> Ending:
    """Resolve 'package.module:function', run it, and check that its result is a JSON object."""
    return call_guarded(lambda: _result_json(entry, resolve(entry)(payload, slot, report)), escaping=escaping)


def resolve(entry: str) -> EntryPoint:
    """The function that `entry` names. Raises ImportError, AttributeError or TypeError."""
    module, _, path = entry.partition(":")
    found: object = importlib.import_module(module)
    for name in path.split("."):
        found = getattr(found, name)
    if not callable(found):
        raise TypeError(f"entry point {entry!r} is not a function")
    return cast(EntryPoint, found)


def _result_json(entry: str, result: object) -> str:
    if not isinstance(result, dict):
        raise TypeError(f"entry point {entry!r} returned {type(result).__name__}, not dict")
    try:
        return json.dumps(result, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError(f"entry point {entry!r} returned what JSON cannot hold: {error}") from error


def failure(error: BaseException) -> Ending:
    """The reason, one line for the user, and the traceback."""
    detail = "".join(traceback.format_exception(error))[-_DETAIL_CHARS:]
    first_line = (str(error).strip().splitlines() or [""])[0][:_MESSAGE_CHARS]
    if isinstance(error, StageFailure):
        known = error.reason in set(FailureReason)
        reason = FailureReason(error.reason) if known else FailureReason.ERROR
        return Ending(reason=reason, message=first_line, detail=detail)
    message = f"{type(error).__name__}: {first_line}" if first_line else type(error).__name__
    reason = FailureReason.OUT_OF_MEMORY if _is_out_of_memory(error) else FailureReason.ERROR
    return Ending(reason=reason, message=message, detail=detail)


def _is_out_of_memory(error: BaseException) -> bool:
    text = str(error)
    return type(error).__name__ in _OUT_OF_MEMORY_TYPES or any(mark in text for mark in _OUT_OF_MEMORY_TEXTS)
