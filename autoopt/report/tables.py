"""What the tables of the page show, every cell as text."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from autoopt.ledger import TrialRow
from autoopt.report.view import StudyView
from autoopt.report.wording import (
    NONE,
    choices_that_matter,
    data_words,
    form_words,
    limits_text,
    measure_cells,
    milliseconds,
    number,
    quantized_form,
)
from autoopt.space.ensembles import is_ensemble
from autoopt.stages.contract import VerifiedArtifact
from autoopt.stages.judge import bare_reason
from autoopt.task.facts import Role, TaskFacts
from autoopt.values import LATENCY_MS, QUALITY, SIZE_BYTES, Measurement, TrialState, format_bytes, format_seconds

MAX_TRIALS = 2000
MAX_NUMBERS = 12


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A cell of a table that can be sorted: what is read, and what is compared ('' where there is nothing)."""

    text: str
    key: float | str = ""


@dataclass(frozen=True, kw_only=True)
class TrialLine:
    """A trial as a line of a table."""

    number: int
    state: str
    model: str
    quality: Cell
    latency: Cell
    size: Cell
    seconds: Cell
    choices: str
    source: str
    picked: bool


@dataclass(frozen=True, kw_only=True)
class PairLine:
    """A measure of both artifacts; shares are per cent of the larger one, None where bars say nothing."""

    name: str
    original: str
    twin: str
    change: str
    original_share: float | None = None
    twin_share: float | None = None


@dataclass(frozen=True, kw_only=True)
class TwinLine:
    """A form that was tried as the twin; `holds`: the one that was taken."""

    form: str
    quality: str
    latency: str
    size: str
    verdict: str
    holds: bool


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Trials that ended without a usable result for the same reason."""

    state: str
    reason: str
    count: int
    models: str
    trials: str


def trial_line(trial: TrialRow, best: TrialRow | None) -> TrialLine:
    """Every cell of a trial."""
    texts = measure_cells(trial.measures)
    names = (QUALITY, LATENCY_MS, SIZE_BYTES)
    keys = [trial.measures[n].value if n in trial.measures else "" for n in names]
    quality, latency, size = (Cell(text=t, key=k) for t, k in zip(texts, keys, strict=True))
    took = trial.seconds
    return TrialLine(
        number=trial.number,
        state=trial.state.value,
        model=str(trial.recipe.get("model", "")),
        quality=quality,
        latency=latency,
        size=size,
        seconds=Cell(text=NONE) if took is None else Cell(text=f"{took:.1f}", key=took),
        choices=_choices(trial),
        source=trial.source,
        picked=best is not None and best.number == trial.number,
    )


def _choices(trial: TrialRow) -> str:
    if trial.duplicate_of is not None:
        return f"same recipe as trial {trial.duplicate_of}"
    return choices_that_matter(trial.recipe)


def trial_lines(view: StudyView) -> tuple[TrialLine, ...]:
    """The newest trials, and the front wherever it lies."""
    numbers = {t.number for t in view.front}
    newest = view.trials[-MAX_TRIALS:]
    older = [t for t in view.trials[:-MAX_TRIALS] if t.number in numbers]
    return tuple(trial_line(t, view.best) for t in [*older, *newest])


def pair_lines(view: StudyView) -> tuple[PairLine, ...]:
    """Both artifacts side by side; none where there is no twin."""
    if view.verified is None or view.verified.twin is None:
        return ()
    pair = (view.verified.float_artifact, view.verified.twin)
    one, many = ([_p50(a, batch) for a in pair] for batch in ("batch_1", "batch_256"))
    lines = [_quality_line(f"valid {view.facts.metric}", pair[0].valid, pair[1].valid)]
    if pair[0].test and pair[1].test:
        lines.append(_quality_line(f"test {view.facts.metric}", pair[0].test, pair[1].test))
    lines += [
        _cost_line("latency, 1 row", one, [milliseconds(v) for v in one], "faster", "slower"),
        _cost_line("latency, 256 rows", many, [milliseconds(v) for v in many], "faster", "slower"),
    ]
    sizes = [float(a.size_bytes) for a in pair]
    lines.append(_cost_line("size", sizes, [format_bytes(s) for s in sizes], "smaller", "larger"))
    agreed = [_agreement(a.parity) for a in pair]
    return (*lines, PairLine(name="same label as the trained model", original=agreed[0], twin=agreed[1], change=""))


def twin_lines(view: StudyView) -> tuple[TwinLine, ...]:
    """What was tried as the twin, in that order; none where the first was taken: the pair says all of it."""
    tried = view.verified.tried if view.verified else ()
    lines = tuple(_twin_line(attempt) for attempt in tried)
    return lines if any(not line.holds for line in lines) else ()


def _twin_line(attempt: Mapping[str, Any]) -> TwinLine:
    reason = bare_reason(str(attempt["reason"]))
    return TwinLine(
        form=form_words(attempt["form"]),
        quality=number(attempt["valid"]) if "valid" in attempt else NONE,
        latency=milliseconds(attempt["latency_ms"]) if "latency_ms" in attempt else NONE,
        size=format_bytes(attempt["bytes"]) if "bytes" in attempt else NONE,
        verdict=reason or "taken as the twin",
        holds=not reason,
    )


def twin_form(view: StudyView) -> str:
    """`static_int8, keep_float 1`, of the twin; '' where there is none, or where it has as many as its members."""
    twin = view.verified.twin if view.verified else None
    if twin is None or is_ensemble(twin.recipe):
        return ""
    return form_words(form) if (form := quantized_form(twin.recipe)) else ""


def interval(measured: Measurement) -> str:
    """`0.9982–1.0000`, or '' without one."""
    if measured.low is None or measured.high is None:
        return ""
    return f"{number(measured.low)}–{number(measured.high)}"


def _p50(artifact: VerifiedArtifact, batch: str) -> float:
    return float(artifact.latency[batch]["p50_ms"])


def _quality_line(name: str, original: Measurement, twin: Measurement) -> PairLine:
    gap = twin.value - original.value
    change = "same" if number(twin.value) == number(original.value) else f"{gap:+.4f}"
    return PairLine(name=name, original=number(original.value), twin=number(twin.value), change=change)


def _cost_line(name: str, values: Sequence[float], texts: Sequence[str], less: str, more: str) -> PairLine:
    """Says how many times less or more; differences under 2 % are none."""
    original, twin = values
    low, high = sorted((original, twin))
    change = "same"
    if low > 0 and high / low >= 1.02:
        change = f"{high / low:.2f}× {less if twin < original else more}"
    top = high or 1.0
    return PairLine(
        name=name,
        original=texts[0],
        twin=texts[1],
        change=change,
        original_share=100 * original / top,
        twin_share=100 * twin / top,
    )


def _agreement(parity: Mapping[str, Any]) -> str:
    found = parity.get("label_agreement")
    return NONE if found is None else f"{100 * float(found):.4g} % of {parity.get('rows', 0)} rows"


def failures(trials: Sequence[TrialRow]) -> tuple[Failure, ...]:
    """Trials that failed, broke a limit or were stopped at a rung, by their reason, the most frequent first.

    Messages that differ in their numbers alone are one reason; the first of them is shown.
    """
    unusable = (TrialState.FAILED, TrialState.INFEASIBLE, TrialState.PRUNED)
    groups: dict[tuple[str, str], list[TrialRow]] = {}
    for trial in trials:
        if trial.state in unusable:
            groups.setdefault((trial.state.value, re.sub(r"\d[\d.]*(e[-+]?\d+)?", "#", why(trial))), []).append(trial)
    ordered = sorted(groups.items(), key=lambda group: -len(group[1]))
    return tuple(_failure(state, why(rows[0]), rows) for (state, _), rows in ordered)


def why(trial: TrialRow) -> str:
    """Why a trial is not usable, in words."""
    if trial.reason in ("", "limit") or trial.message.startswith(trial.reason):
        return trial.message or trial.reason or NONE
    return f"{trial.reason}: {trial.message}" if trial.message else trial.reason


def _failure(state: str, reason: str, rows: Sequence[TrialRow]) -> Failure:
    models = Counter(str(t.recipe.get("model", "")) for t in rows)
    numbers = ", ".join(str(t.number) for t in rows[:MAX_NUMBERS])
    more = f" and {len(rows) - MAX_NUMBERS} more" if len(rows) > MAX_NUMBERS else ""
    told = ", ".join(name if count == 1 else f"{name} ({count})" for name, count in models.most_common())
    return Failure(state=state, reason=reason, count=len(rows), models=told, trials=numbers + more)


def roles(facts: TaskFacts) -> str:
    """`8 category, 6 number; 1 left out`; of images and arrays, what they are."""
    if not any(c.used for c in facts.columns) and facts.tensors:
        return data_words(facts)
    used = Counter(c.role.value for c in facts.columns if c.used)
    out = sum(not c.used and c.role is not Role.TARGET for c in facts.columns)
    counts = ", ".join(f"{count} {role}" for role, count in sorted(used.items()))
    return f"{counts or 'none'}; {out} left out" if out else counts


def asked(view: StudyView) -> tuple[tuple[str, str], ...]:
    """What the study was asked for."""
    budget, spec, backbone = view.study.budget, view.study.spec, view.facts.backbone
    bounds = [format_seconds(budget.seconds)] if budget.seconds is not None else []
    bounds += [f"{budget.trials} trials"] if budget.trials is not None else []
    space = spec.get("space")
    return (
        ("metric", f"{view.facts.metric}, to {view.facts.metric_direction}"),
        *((("backbone", f"{backbone.name}, {backbone.architecture}"),) if backbone else ()),
        ("objectives", ", ".join(o.measure for o in view.objectives)),
        ("limits", limits_text(view.limits)),
        ("budget", " and ".join(bounds) or "none"),
        ("spent", format_seconds(view.study.spent_s)),
        ("space", str(space.get("source", NONE)) if isinstance(space, Mapping) else NONE),
        ("seed", str(spec.get("seed", NONE))),
    )
