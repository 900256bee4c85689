"""Runs the user's file, and says in a line what went wrong in it: whose code it was, in which file, on which line."""

import contextlib
import functools
import importlib.util
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from autoopt.errors import DataError
from autoopt.files import sha256_file, user_path
from autoopt.task.module.spec import ModuleTask

PREFIX = "autoopt_task_"
"""Of the private names that users' files are imported under: they shadow no module, and none shadows them."""
_LIBRARIES = ("site-packages", "dist-packages")


def split_reference(reference: str) -> tuple[Path, str]:
    """`path/to/task.py:function` → absolute path and function. Raises DataError when there is no such file."""
    name, _, function = reference.rpartition(":")
    path = user_path(name)
    if not path.is_file():
        raise DataError(f"{path} is not a file.", "Give path/to/task.py:function, the function returning a ModuleTask.")
    return path.resolve(), function


def load_task(reference: str) -> ModuleTask:
    """What the function returns; the file is run once in a process. Raises DataError."""
    path, function = split_reference(reference)
    module = _imported(path, sha256_file(path))
    found = getattr(module, function, None)
    if not callable(found):
        known = [n for n, v in vars(module).items() if callable(v) and getattr(v, "__module__", "") == module.__name__]
        raise DataError(f"{path} has no function {function!r}.", f"It has: {', '.join(known) or 'none'}.")
    return _called(f"{path}:{function}", found)


@functools.cache
def _called(reference: str, function: Callable[[], Any]) -> ModuleTask:
    with user_code(reference, split_reference(reference)[0].parent):
        task = function()
    if not isinstance(task, ModuleTask):
        what = f"{reference} returned a {type(task).__name__}, not an autoopt.ModuleTask."
        raise DataError(what, "End the function with: return autoopt.ModuleTask(build=..., train=..., valid=...)")
    return task


@functools.cache
def _imported(path: Path, digest: str) -> ModuleType:
    """The user's file as a module; its folder is first on sys.path while it is run, and last from then on."""
    name = f"{PREFIX}{path.stem}_{digest[:12]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise DataError(f"{path} is not a Python file.", "Give path/to/task.py:function.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    folder = str(path.parent)
    sys.path.insert(0, folder)
    try:
        with user_code(str(path), path.parent):
            spec.loader.exec_module(module)
    except DataError:
        del sys.modules[name]
        raise
    finally:
        sys.path.remove(folder)
        if folder not in sys.path:
            sys.path.append(folder)
    return module


def source_files(path: Path) -> dict[str, str]:
    """SHA-256 of the file and of every file of its folder that was imported so far, by absolute path."""
    files = {path}
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if file and file.endswith(".py") and module.__name__.partition(".")[0] != "autoopt":
            found = Path(file)
            if not (found.is_absolute() and found.is_file()):  # some libraries' modules only pretend to have one
                continue
            found = found.resolve()
            if found.is_relative_to(path.parent) and not set(_LIBRARIES) & set(found.parts):
                files.add(found)
    return {str(file): sha256_file(file) for file in sorted(files)}


def changed_file(files: Mapping[str, str]) -> str | None:
    """The first of the files that is no longer what it was, None when all are."""
    for file, digest in files.items():
        path = Path(file)
        if not path.is_file() or sha256_file(path) != digest:
            return file
    return None


@contextlib.contextmanager
def user_code(what: str, folder: Path) -> Iterator[None]:
    """What the user's code raises becomes a DataError of one line; what it prints goes to stderr."""
    try:
        with contextlib.redirect_stdout(sys.stderr):  # stdout may be for JSON
            yield
    except DataError:
        raise
    except (Exception, SystemExit) as error:
        raise DataError(
            f"{what} failed: {told(error, folder)}.", "Mend it there; --debug shows the whole way."
        ) from error


def told(error: BaseException, folder: Path) -> str:
    """`task.py, line 12: ValueError: ...`: the innermost line of the user's own code, and the error's first line."""
    lines = str(error).strip().splitlines()
    text = f"{type(error).__name__}: {lines[0].rstrip('.')}" if lines else type(error).__name__
    if isinstance(error, SyntaxError) and error.filename:
        return f"{Path(error.filename).name}, line {error.lineno}: {type(error).__name__}: {error.msg}"
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        file = Path(frame.filename)
        if file.is_relative_to(folder) and not set(_LIBRARIES) & set(file.parts):
            return f"{file.name}, line {frame.lineno}: {text}"
    return text
