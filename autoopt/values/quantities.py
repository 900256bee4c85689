"""Durations and sizes as people write them: `90s`, `5m`, `1h`, `5MB`, `300us`."""

import re

from autoopt.errors import OptionError

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES: dict[str, float] = {
    "b": 1,
    "kb": 1000,
    "mb": 1000**2,
    "gb": 1000**3,
    "kib": 1024,
    "mib": 1024**2,
    "gib": 1024**3,
}
_MILLISECONDS = {"us": 0.001, "ms": 1.0, "s": 1000.0}
_NUMBER = r"(?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*(?P<unit>[A-Za-z%]*)"


def split_number(text: str) -> tuple[float, str] | None:
    """`'5 MB'` → (5.0, 'mb'); None when it is not a number with an optional unit."""
    match = re.fullmatch(_NUMBER, text.strip())
    return (float(match["number"]), match["unit"].lower()) if match else None


def parse_duration_s(text: str | float, *, option: str = "--time") -> float:
    """Seconds of `60s`, `5m`, `1h30m`, or a bare number of seconds. Raises OptionError unless above zero."""
    if isinstance(text, int | float):
        total = float(text)
    else:
        parts = re.findall(r"(\d+\.?\d*)\s*([A-Za-z]*)", text.strip())
        known = all((unit.lower() or "s") in _SECONDS for _, unit in parts)
        whole = re.fullmatch(r"(\s*\d+\.?\d*\s*[A-Za-z]*)+", text.strip()) is not None
        if not parts or not known or not whole:
            raise OptionError(f"{option} {text!r} is not a duration.", "Write it like 60s, 5m, 1h or 1h30m.")
        total = sum(float(number) * _SECONDS[unit.lower() or "s"] for number, unit in parts)
    if not 0 < total < 366 * 86400:
        raise OptionError(f"{option} {text!r} is not between 0 and a year.", "Write it like 60s, 5m, 1h or 1h30m.")
    return total


def parse_bytes(text: str, *, option: str) -> int:
    """Bytes of `500MB`, `2GB`, `1.5GiB` or a bare number. Raises OptionError unless above zero."""
    parsed = split_number(text)
    number, unit = parsed or (0.0, "")
    size = number * _BYTES.get(unit or "b", 0)
    if not 0 < size < float("inf"):
        raise OptionError(f"{option} {text!r} is not a size.", "Write it like 500MB, 2GB or 1.5GiB.")
    return int(size)


def parse_measure_value(measure_unit: str, text: str) -> float | None:
    """A limit's bound in the measure's own unit; None when number or unit do not fit it."""
    parsed = split_number(text)
    if parsed is None:
        return None
    number, unit = parsed
    tables: dict[str, dict[str, float]] = {"ms": _MILLISECONDS, "bytes": _BYTES, "s": _SECONDS}
    table = tables.get(measure_unit, {})
    if unit in ("", measure_unit):
        return number
    if unit == "%" and measure_unit == "":
        return number / 100.0
    return number * table[unit] if unit in table else None


def format_bytes(count: float) -> str:
    """`148_000` → '148 kB'."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if abs(count) >= size:
            return f"{count / size:.3g} {unit}" if count / size < 100 else f"{count / size:.0f} {unit}"
    return f"{count:.0f} B"


def format_seconds(seconds: float) -> str:
    """`75` → '1m15s'."""
    if seconds < 60:
        return f"{seconds:.0f}s" if seconds >= 10 or seconds == int(seconds) else f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes:02d}m"
    return f"{minutes}m{rest:02d}s" if rest else f"{minutes}m"
