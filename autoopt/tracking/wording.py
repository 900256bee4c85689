"""What MLflow takes: which names, how long, how many at once."""

import posixpath
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any, Final

MAX_KEY: Final = 250
MAX_PARAM: Final = 6000
MAX_TAG: Final = 5000  # MLflow takes 8000; a database with multi-byte text fewer
METRICS_A_CALL: Final = 800
PARAMS_A_CALL: Final = 90
TAGS_A_CALL: Final = 90


def sqlite_path(tracking_uri: str) -> Path | None:
    """The file that a URI names; None for every other kind of database or server."""
    if not tracking_uri.startswith("sqlite:///") or "?" in tracking_uri or tracking_uri.endswith(":memory:"):
        return None
    return Path(tracking_uri.removeprefix("sqlite:///"))


def cut(text: str, most: int) -> str:
    """The text, marked where it had to be cut."""
    return text if len(text) <= most else text[: most - 2] + " …"


def safe_keys(names: Iterable[str]) -> dict[str, str]:
    """Name → a key that MLflow takes: letters, digits, `_ - . space : /`, no path tricks, 250 at most; no two alike."""
    found: dict[str, str] = {}
    taken: set[str] = set()
    for name in dict.fromkeys(names):
        key = _safe_key(name)
        if key in taken:
            key = next(k for k in (f"{key[: MAX_KEY - 8]}_{n}" for n in count(2)) if k not in taken)
        taken.add(key)
        found[name] = key
    return found


def _safe_key(name: str) -> str:
    key = re.sub(r"[^\w.\- :/]", "_", name)[:MAX_KEY]
    if not key or key.startswith(("/", "..")) or posixpath.normpath(key) != key or key == ".":
        key = re.sub(r"^\.+", lambda m: "_" * len(m[0]), key.replace("/", "_")) or "_"
    return key


def chunks(items: Sequence[Any], size: int) -> Iterator[list[Any]]:
    """Slices of at most `size`."""
    for start in range(0, len(items), size):
        yield list(items[start : start + size])
