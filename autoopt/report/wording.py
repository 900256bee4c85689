"""Measures and recipes as people read them; the page and the terminal say them alike."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from autoopt.space import Recipe
from autoopt.space.ensembles import MEMBERS, MEMBERS_FP16, ensemble_words, is_ensemble
from autoopt.stages.judge import bare_reason
from autoopt.strategies import catalogue
from autoopt.strategies.networks.own_network import BUILD
from autoopt.strategies.shrinking.prune import Prune
from autoopt.strategies.shrinking.qat import Qat
from autoopt.task.facts import Modality, TaskFacts, TensorFacts
from autoopt.values import LATENCY_MS, QUALITY, SIZE_BYTES, Limit, Measures, format_bytes

NONE = "–"
MOST_FIELDS = 3
LESS = ("epochs", "patience", "dropout")
"""Fields that every network has: what it is built of says more."""
PREPARED = ("encode", "scale", "reduce", "ngrams", "tokens", "resolution")
TRAINED = ("optimizer", "precision", "augment", "prune", "distill")


def number(value: float) -> str:
    """Four significant digits, scores up to one with four decimals; no exponent where one can do without."""
    size = abs(value)
    if 0.001 <= size <= 1:
        return f"{value:.4f}"
    if 1 < size < 1e7:
        return f"{value:,.{max(0, 3 - int(math.log10(size)))}f}"
    return f"{value:.4g}"


def milliseconds(value: float) -> str:
    """Three significant digits: `0.0213 ms`, `18.2 ms`."""
    if value >= 100:
        return f"{value:,.0f} ms"
    decimals = 1 if value >= 10 else 2 if value >= 1 else 3 if value >= 0.1 else 4
    return f"{value:.{decimals}f} ms"


def measure_cells(measures: Measures) -> tuple[str, str, str]:
    """Quality, latency and size as text; a provisional latency carries a ~."""
    quality = number(measures[QUALITY].value) if QUALITY in measures else NONE
    latency = NONE
    if LATENCY_MS in measures:
        mark = "~" if measures[LATENCY_MS].provisional else ""
        latency = mark + milliseconds(measures[LATENCY_MS].value)
    size = format_bytes(measures[SIZE_BYTES].value) if SIZE_BYTES in measures else NONE
    return quality, latency, size


def limits_text(limits: Iterable[Limit]) -> str:
    """`latency_ms <= 1, size_bytes <= 5 MB`."""
    return ", ".join(f"{x.measure} {x.sense} {x.bound_text}" for x in limits) or "none"


def data_words(facts: TaskFacts) -> str:
    """What the data are, in one line: `10,000 images, kept at 32 × 32 pixels`, `150 rows, 5 columns`."""
    rows = sum(facts.rows.values())
    if facts.raw_form is Modality.IMAGES:
        height, width, _ = facts.tensors[0].shape
        return f"{rows:,} images, kept at {height} × {width} pixels"
    if facts.raw_form is Modality.MODULE:
        return f"{rows:,} rows of {', '.join(tensor_words(t) for t in facts.tensors)}"
    return f"{rows:,} rows, {len(facts.columns)} column{'s' if len(facts.columns) != 1 else ''}"


def tensor_words(tensor: TensorFacts) -> str:
    """An input of a module: `image float32 3 × 32 × 32`."""
    shape = " × ".join(map(str, tensor.shape)) or "one value"
    return f"{tensor.name} {tensor.dtype} {shape}"


_MEMBERS_FORMS: Final[Mapping[str, str]] = {
    "none": "",
    MEMBERS: ", each quantized",
    MEMBERS_FP16: ", each quantized, networks in fp16",
}


def choices_that_matter(recipe: Mapping[str, Any]) -> str:
    """A recipe in one cell: what is deployed, what was built and how, how it was trained, how data are prepared."""
    if is_ensemble(recipe):
        return ensemble_words(recipe) + _MEMBERS_FORMS[str(recipe.get("quantize", "none"))]
    parsed = Recipe(recipe)
    prepared = [f"{k} {parsed[k]}" for k in PREPARED if parsed.get(k, "none") != "none"]
    prefix = f"{parsed.get('model', '')}."
    fields = [name for name in catalogue().declarations if name.startswith(prefix) and name in parsed]
    fields.sort(key=lambda name: name.removeprefix(prefix) in LESS)
    own = [f"{name.removeprefix(prefix)} {_short(parsed[name])}" for name in fields[:MOST_FIELDS]]
    built = [f"{name} {_short(value)}" for name, value in parsed.section(BUILD).items()]
    trained = [f"{k} {parsed[k]}" for k in TRAINED if parsed.get(k, "none") != "none"]
    deployed = [form_words(quantized_form(parsed))] if parsed.get("quantize", "none") != "none" else []
    deployed += [Qat.name] if Qat.from_recipe(parsed).on else []
    return ", ".join([*deployed, *built, *own, *trained, *prepared])


def quantized_form(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Of a recipe what makes the form of its graph, but for what has its usual value."""
    known = catalogue().declarations
    named = {n: v for n, v in recipe.items() if n.partition(".")[0] == "quantize"}
    return {n: v for n, v in named.items() if n == "quantize" or n not in known or v != known[n].default}


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def fallen_twins(tried: Sequence[Mapping[str, Any]], told: str = "") -> list[str]:
    """The forms of a twin that were tried and fell: `static_int8, keep_float 1 (0.8812, 0.0312 ms, 118 kB): it ...`.

    Those whose reason was `told` already are left out.
    """
    return [
        f"{form_words(attempt['form'])}{_figures(attempt)}: {bare_reason(str(attempt['reason']))}"
        for attempt in tried
        if attempt["reason"] and str(attempt["reason"]) not in told
    ]


def form_words(changes: Mapping[str, Any]) -> str:
    """`static_int8, keep_float 1`; `fp16, pruned 0.5, taught`."""
    form = [str(changes["quantize"])]
    others = [
        (n.rpartition(".")[2], v) for n, v in changes.items() if n.partition(".")[0] != "prune" and n != "quantize"
    ]
    return ", ".join([*form, *(n if v is True else f"{n} {_short(v)}" for n, v in others), *pruned_words(changes)])


def pruned_words(recipe: Mapping[str, Any]) -> list[str]:
    """What pruning took and how the rest was tuned: `pruned 0.5`, `taught`; nothing of a network that is whole."""
    if recipe.get("prune", "none") == "none":
        return []
    pruning = Prune.from_recipe(Recipe(recipe))
    return [f"pruned {pruning.share:.2g}", *(["taught"] if pruning.taught > 0 else [])]


def _figures(attempt: Mapping[str, Any]) -> str:
    """What was measured of a form, in brackets; nothing where it could not be built."""
    told = {"valid": number, "latency_ms": milliseconds, "bytes": format_bytes}
    found = [words(attempt[name]) for name, words in told.items() if name in attempt]
    return f" ({', '.join(found)})" if found else ""
