"""Reads YAML strictly: duplicate keys are problems, `1e-4` is a number, and every way of failing has a message."""

import difflib
import re
from collections.abc import Hashable, Iterable
from pathlib import Path
from typing import Any

import yaml

from autoopt.errors import Problem, SpaceError

MAX_FILE_BYTES = 1_000_000


class _StrictLoader(yaml.SafeLoader):
    """SafeLoader that notes duplicate keys, and reads exponents without a dot as numbers."""

    duplicates: list[Problem]

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    what = f"Line {key.start_mark.line + 1}: {key.value!r} is given twice."
                    self.duplicates.append(Problem(what=what, mend="Keep one of them."))
                seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


# PyYAML follows YAML 1.1, where 1e-4 is a text: learning rates are written just so.
_StrictLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def read_yaml(text: str, *, source: str) -> tuple[Any, list[Problem]]:
    """The content and the duplicate keys found. Raises SpaceError when `text` is not YAML."""
    try:
        loader = _StrictLoader(text)
        loader.duplicates = []
        try:
            return loader.get_single_data(), loader.duplicates
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise SpaceError(f"{source} is not YAML{where}: {error.problem}.", "Mend that line.") from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        line = (str(error).splitlines() or ["nested too deeply"])[0]
        raise SpaceError(f"{source} is not YAML: {line}.", "Write it like search_spaces/tabular.yaml.") from None


def read_text(path: Path, *, what: str) -> str:
    """A file's text. Raises SpaceError when it is missing, a folder, unreadable, not UTF-8 or far too large."""
    try:
        size = path.stat().st_size
        if path.is_dir():
            raise SpaceError(f"{what} {str(path)!r} is a folder.", "Give a YAML file.")
        if size > MAX_FILE_BYTES:
            raise SpaceError(f"{what} {str(path)!r} has {size} bytes: too many.", f"At most {MAX_FILE_BYTES}.")
        return path.read_bytes().decode("utf-8-sig")
    except SpaceError:
        raise
    except FileNotFoundError:
        raise SpaceError(f"{what} {str(path)!r} is not there.", "Check the path.") from None
    except UnicodeDecodeError as error:
        raise SpaceError(f"{what} {str(path)!r} is not UTF-8 (byte {error.start}).", "Save it as UTF-8.") from None
    except (OSError, ValueError) as error:
        raise SpaceError(f"{what} {str(path)!r} cannot be read: {error}.", "Check the path.") from None


def nearest(name: object, allowed: Iterable[str]) -> str:
    """What to do about an unknown name: the nearest one that exists, or all when they are few."""
    names = list(allowed)
    close = difflib.get_close_matches(str(name), names, n=1, cutoff=0.6)
    if close:
        return f"Did you mean {close[0]!r}?"
    shown = ", ".join(names[:20])
    return f"Known: {shown}{', ...' if len(names) > 20 else ''}."


def shown(value: object) -> str:
    """A value as a message shows it: short, however large it came."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
