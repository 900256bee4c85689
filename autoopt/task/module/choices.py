"""The user's own dimensions: what `build` may be called with."""

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from autoopt.errors import Problem
from autoopt.space.domains import Choice, Domain, Real, Value, Whole
from autoopt.task.wording import quoted

MOST_VALUES = 100
_MEND = "Write it like {'width': [32, 64]} or {'depth': {'low': 1, 'high': 4}}, with 'log' and 'default' if need be."
_KEYS = {"low", "high", "log", "default"}
Choices = dict[str, dict[str, Any]]
"""Name → {"choices": [...], "default": ...} or {"low": ..., "high": ..., "log": ..., "default": ...}, as JSON."""


def parse_choices(raw: object, build: Callable[..., Any], problems: list[Problem]) -> Choices:
    """Every dimension with its domain and default; what is wrong goes to `problems`."""
    if not isinstance(raw, Mapping):
        problems.append(Problem(what=f"choices is a {type(raw).__name__}, not a dict.", mend=_MEND))
        return {}
    found: Choices = {}
    for name, given in raw.items():
        if not isinstance(name, str) or not name.isidentifier():
            problems.append(Problem(what=f"choices: {quoted(name)} is no argument's name.", mend=_MEND))
            continue
        domain = _parsed(given)
        if domain is None:
            problems.append(
                Problem(what=f"choices[{name!r}]: {quoted(given)} is neither values nor a range.", mend=_MEND)
            )
            continue
        wanted = given.get("default") if isinstance(given, Mapping) else None
        default = _default(name, wanted, domain, build)
        if default is None:
            mend = f"Give {domain}."
            problems.append(Problem(what=f"choices[{name!r}]: the default {quoted(wanted)} is not in it.", mend=mend))
            continue
        found[name] = {**_plain(domain), "default": default}
    return found


def domain_of(raw: Mapping[str, Any]) -> Domain:
    """The domain of one dimension as `parse_choices` wrote it."""
    if "choices" in raw:
        return Choice(values=tuple(raw["choices"]))
    kind = Whole if isinstance(raw["low"], int) and isinstance(raw["high"], int) else Real
    return kind(low=raw["low"], high=raw["high"], log=bool(raw["log"]))


def defaults(choices: Mapping[str, Mapping[str, Any]]) -> dict[str, Value]:
    """What `build` is called with when nothing was decided."""
    return {name: raw["default"] for name, raw in choices.items()}


def _plain(domain: Domain) -> dict[str, Any]:
    if isinstance(domain, Choice):
        return {"choices": list(domain.values)}
    return {"low": domain.low, "high": domain.high, "log": domain.log}


def _parsed(given: object) -> Domain | None:
    if isinstance(given, Mapping):
        return _range(given)
    if not isinstance(given, Sequence) or isinstance(given, str) or not 1 <= len(given) <= MOST_VALUES:
        return None
    fine = all(
        isinstance(v, str | int | float | bool) and (not isinstance(v, float) or math.isfinite(v)) for v in given
    )
    return Choice(values=tuple(dict.fromkeys(given))) if fine else None


def _range(given: Mapping[Any, Any]) -> Domain | None:
    low, high, log = given.get("low"), given.get("high"), given.get("log", False)
    if not set(given) <= _KEYS or not isinstance(log, bool):
        return None
    if not all(isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v) for v in (low, high)):
        return None
    if not low <= high or (log and low <= 0):  # type: ignore[operator]  # both were found to be numbers
        return None
    return domain_of({"low": low, "high": high, "log": log})


def _default(name: str, wanted: object, domain: Domain, build: Callable[..., Any]) -> Value | None:
    """The default that was asked for, None where it is not in the domain; else `build`'s own; else the first value."""
    if wanted is not None:
        return wanted if isinstance(wanted, str | int | float) and domain.contains(wanted) else None
    try:
        own = inspect.signature(build).parameters[name].default
    except (KeyError, TypeError, ValueError):
        own = None
    if isinstance(own, str | int | float) and domain.contains(own):
        return own
    return domain.values[0] if isinstance(domain, Choice) else domain.low
