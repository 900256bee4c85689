"""Measures and recipes as people read them; the page and the terminal say them alike."""

from collections.abc import Mapping
from typing import Any

from autoopt.space import Recipe
from autoopt.values import LATENCY_MS, QUALITY, SIZE_BYTES, Measures, format_bytes

NONE = "–"


def number(value: float) -> str:
    """Four significant digits, without an exponent where one can do without."""
    return f"{value:.4f}" if 0.001 <= abs(value) < 1000 else f"{value:.4g}"


def milliseconds(value: float) -> str:
    """`0.0213 ms`."""
    return f"{value:.3f} ms" if value >= 0.1 else f"{value:.4f} ms"


def measure_cells(measures: Measures) -> tuple[str, str, str]:
    """Quality, latency and size as text; a provisional latency carries a ~."""
    quality = number(measures[QUALITY].value) if QUALITY in measures else NONE
    latency = NONE
    if LATENCY_MS in measures:
        mark = "~" if measures[LATENCY_MS].provisional else ""
        latency = mark + milliseconds(measures[LATENCY_MS].value)
    size = format_bytes(measures[SIZE_BYTES].value) if SIZE_BYTES in measures else NONE
    return quality, latency, size


def choices_that_matter(recipe: Mapping[str, Any]) -> str:
    """A recipe in one cell: how the data are prepared, the model's main fields, what is deployed."""
    parsed = Recipe(recipe)
    prepared = [f"{k} {parsed[k]}" for k in ("encode", "scale", "reduce") if parsed.get(k, "none") != "none"]
    fields = parsed.section(str(parsed.get("model", "")))
    own = [f"{k} {_short(v)}" for k, v in list(fields.items())[:4]]
    trained = [f"{k} {parsed[k]}" for k in ("optimizer", "precision") if k in parsed]
    deployed = [str(parsed["quantize"])] if parsed.get("quantize", "none") != "none" else []
    return ", ".join([*deployed, *own, *trained, *prepared])


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
