"""What the charts show, as places in per cent: the template draws it, so that text is escaped in one place."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from autoopt.ledger import TrialRow
from autoopt.report.scales import Scale, Tick, latency_scale, quality_scale
from autoopt.report.wording import NONE, measure_cells, number
from autoopt.values import LATENCY_MS, QUALITY, SIZE_BYTES, Limit, TrialState, format_bytes

_RADIUS, _RADIUS_RANGE = 4.0, 8.0
_FAR_LIMIT = 30.0
"""A latency limit farther from all trials than this factor would squeeze them into a corner."""
_LABEL_WIDTH, _LABEL_HEIGHT = 5.0, 7.0
_DRAWN = ("infeasible", "plain", "front", "best")
"""What lies below what."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """A trial in a chart; x and y in per cent from the left and from the top."""

    x: float
    y: float
    radius: float  # px
    look: str  # "front", "plain", "infeasible"; and "best" for the trial that was picked
    label: str
    title: str
    beyond: bool = False  # it lies below the axis and is drawn on its edge


@dataclass(frozen=True, kw_only=True)
class Line:
    """A limit or a baseline across a chart, at a per cent of its axis."""

    at: float
    text: str


@dataclass(frozen=True, kw_only=True)
class FrontChart:
    """Quality against latency."""

    points: tuple[Point, ...]
    stairs: str  # polyline of what is attained, in the coordinates of a 100 by 100 box; '' with fewer than 2 corners
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    x_limits: tuple[Line, ...]
    y_limits: tuple[Line, ...]
    beyond: int  # trials that lie below the axis
    elsewhere: tuple[str, ...]  # limits that lie off the chart
    sizes: tuple[Tick, ...]  # of the legend: `at` is a radius in px


@dataclass(frozen=True, kw_only=True)
class HistoryChart:
    """Quality over the trials in their order, with the best so far."""

    points: tuple[Point, ...]
    best: str  # polyline
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    failed: tuple[Point, ...]
    beyond: int


@dataclass(frozen=True, kw_only=True)
class Family:
    """What a kind of model reached."""

    model: str
    trials: int
    best: str
    latency: str  # the least
    size: str  # the least
    points: tuple[Point, ...]


def front_chart(
    trials: Sequence[TrialRow],
    front: Sequence[TrialRow],
    best: TrialRow | None,
    limits: Sequence[Limit],
    *,
    rising: bool,
) -> FrontChart | None:
    """None when no trial has both figures."""
    shown = [t for t in _measured(trials) if LATENCY_MS in t.measures and t.measures[LATENCY_MS].value > 0]
    if not shown:
        return None
    latencies = [t.measures[LATENCY_MS].value for t in shown]
    qualities = [t.measures[QUALITY].value for t in shown]
    walls = [f for f in limits if f.measure == LATENCY_MS and _is_near(f.bound, latencies)]
    floors = [f for f in limits if f.measure == QUALITY]
    numbers = {t.number for t in front}
    kept = [t for t in shown if t.number in numbers]
    x = latency_scale([*latencies, *(f.bound for f in walls)])
    attained = _attained(kept, rising=rising)
    y = quality_scale(qualities, [f.bound for f in floors], rising=rising)
    sizes = [t.measures[SIZE_BYTES].value for t in shown if SIZE_BYTES in t.measures]
    points = [_front_point(t, x, y, sizes, numbers, best) for t in shown]
    return FrontChart(
        points=_thinned(sorted(points, key=lambda p: _DRAWN.index(p.look))),
        stairs=_stairs(attained, x, y),
        x_ticks=x.ticks(),
        y_ticks=y.ticks(),
        x_limits=tuple(Line(at=x.at(f.bound), text=f"{f.bound:g} ms") for f in walls),
        y_limits=tuple(Line(at=100 - y.at(f.bound), text=number(f.bound)) for f in floors),
        beyond=sum(not y.holds(q) for q in qualities),
        elsewhere=tuple(f.told() for f in limits if f not in walls and f not in floors),
        sizes=tuple(Tick(at=_radius(s, sizes), text=format_bytes(s)) for s in sorted({*_ends(sizes)})),
    )


def history_chart(trials: Sequence[TrialRow], *, rising: bool) -> HistoryChart | None:
    """None when no trial has a quality. Duplicates are left out: they cost nothing and say nothing new."""
    counted = [t for t in trials if t.state.counts]
    measured = _measured(counted)
    if not measured:
        return None
    x = Scale(low=0.0, high=len(counted) + 1.0)
    place = {t.number: x.at(i + 1.0) for i, t in enumerate(counted)}
    qualities = [t.measures[QUALITY].value for t in measured]
    best, corners = _best_so_far(counted, rising=rising), ""
    y = quality_scale(qualities, (), rising=rising)
    if best:
        steps = [(place[t.number], 100 - y.at(value)) for t, value in best]
        corners = " ".join(f"{a:.2f},{b:.2f}" for a, b in [*_as_steps(steps), (100.0, steps[-1][1])])
    return HistoryChart(
        points=tuple(_history_point(t, place[t.number], y) for t in measured),
        best=corners,
        x_ticks=tuple(Tick(at=x.at(float(k)), text=str(k)) for k in _round_steps(len(counted))),
        y_ticks=y.ticks(),
        failed=tuple(_point(t, place[t.number], 100.0, 3.0, "failed") for t in counted if t.state is TrialState.FAILED),
        beyond=sum(not y.holds(q) for q in qualities),
    )


def _history_point(trial: TrialRow, x: float, y: Scale) -> Point:
    quality = trial.measures[QUALITY].value
    return replace(_point(trial, x, 100 - y.at(quality), 3.0, _state_look(trial)), beyond=not y.holds(quality))


def families(trials: Sequence[TrialRow], *, rising: bool) -> tuple[Family, ...]:
    """Each kind of model, the best first, all on one axis."""
    measured = _measured(t for t in trials if t.state.counts)
    if not measured:
        return ()
    y = quality_scale([t.measures[QUALITY].value for t in measured], (), rising=rising)
    found: dict[str, list[TrialRow]] = {}
    for trial in sorted(measured, key=lambda t: t.measures[QUALITY].value, reverse=rising):
        found.setdefault(str(trial.recipe.get("model", "")), []).append(trial)
    return tuple(_family(model, rows, y) for model, rows in found.items())


def _family(model: str, rows: Sequence[TrialRow], scale: Scale) -> Family:
    usable = [t for t in rows if t.state is TrialState.COMPLETE] or list(rows)
    points = [_point(t, scale.at(t.measures[QUALITY].value), 50.0, 4.0, _state_look(t)) for t in rows]
    return Family(
        model=model,
        trials=len(rows),
        best=measure_cells(usable[0].measures)[0],
        latency=_least(usable, LATENCY_MS, 1),
        size=_least(usable, SIZE_BYTES, 2),
        points=tuple(reversed(points)),
    )


def _least(trials: Sequence[TrialRow], measure: str, cell: int) -> str:
    """The least of a measure, as text."""
    having = [t for t in trials if measure in t.measures]
    least = min(having, key=lambda t: t.measures[measure].value, default=None)
    return measure_cells(least.measures)[cell] if least else NONE


def _measured(trials: Iterable[TrialRow]) -> list[TrialRow]:
    """Trials that count and reached a quality."""
    return [t for t in trials if t.state.counts and QUALITY in t.measures]


def _is_near(bound: float, values: Sequence[float]) -> bool:
    return min(values) / _FAR_LIMIT <= bound <= max(values) * _FAR_LIMIT


def _state_look(trial: TrialRow) -> str:
    return "plain" if trial.state is TrialState.COMPLETE else "infeasible"


def _front_point(
    trial: TrialRow, x: Scale, y: Scale, sizes: Sequence[float], front: set[int], best: TrialRow | None
) -> Point:
    look = "front" if trial.number in front else _state_look(trial)
    if best is not None and trial.number == best.number:
        look = "best"
    size = trial.measures[SIZE_BYTES].value if SIZE_BYTES in trial.measures else None
    radius = _RADIUS if size is None else _radius(size, sizes)
    at = x.at(trial.measures[LATENCY_MS].value), 100 - y.at(trial.measures[QUALITY].value)
    beyond = not y.holds(trial.measures[QUALITY].value)
    label = str(trial.number) if look in ("front", "best") and not beyond else ""
    return replace(_point(trial, *at, radius, look), label=label, beyond=beyond)


def _point(trial: TrialRow, x: float, y: float, radius: float, look: str) -> Point:
    quality, latency, size = measure_cells(trial.measures)
    model = trial.recipe.get("model", "")
    title = f"trial {trial.number}: {model}, quality {quality}, {latency}, {size} ({trial.state.value})"
    return Point(x=x, y=y, radius=radius, look=look, label="", title=title)


def _ends(sizes: Sequence[float]) -> tuple[float, ...]:
    return (min(sizes), max(sizes)) if sizes else ()


def _radius(size: float, sizes: Sequence[float]) -> float:
    """Logarithmic: sizes span three orders of magnitude, and an area in proportion would hide the small ones."""
    low, high = min(sizes), max(sizes)
    return _RADIUS if high <= low else _RADIUS + _RADIUS_RANGE * math.log(size / low) / math.log(high / low)


def _thinned(points: Sequence[Point]) -> tuple[Point, ...]:
    """Labels that would lie on one another are left out, the last drawn having the first say."""
    kept: list[Point] = []
    for point in reversed(points):
        near = [p for p in kept if p.label and abs(p.x - point.x) < _LABEL_WIDTH and abs(p.y - point.y) < _LABEL_HEIGHT]
        kept.append(replace(point, label="") if near else point)
    return tuple(reversed(kept))


def _attained(front: Sequence[TrialRow], *, rising: bool) -> list[tuple[float, float]]:
    """Latencies with the best quality within each, where it rises. A front has more trials: those that are small."""
    found: list[tuple[float, float]] = []
    pairs = [(t.measures[LATENCY_MS].value, t.measures[QUALITY].value) for t in front]
    for latency, quality in sorted(pairs, key=lambda p: (p[0], -p[1] if rising else p[1])):
        if not found or (quality > found[-1][1] if rising else quality < found[-1][1]):
            found.append((latency, quality))
    return found


def _stairs(attained: Sequence[tuple[float, float]], x: Scale, y: Scale) -> str:
    """A polyline; it comes up from the edge where some of it lies below the axis."""
    corners = [(x.at(latency), 100 - y.at(quality)) for latency, quality in attained if y.holds(quality)]
    if corners and len(corners) < len(attained):
        corners.insert(0, (corners[0][0], 100.0))
    return " ".join(f"{a:.2f},{b:.2f}" for a, b in _as_steps(corners)) if len(corners) > 1 else ""


def _as_steps(corners: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    found = [corners[0]]
    for a, b in corners[1:]:
        found += [(a, found[-1][1]), (a, b)]
    return found


def _best_so_far(trials: Sequence[TrialRow], *, rising: bool) -> list[tuple[TrialRow, float]]:
    """Complete trials that were better than all before them."""
    found: list[tuple[TrialRow, float]] = []
    for trial in trials:
        if trial.state is not TrialState.COMPLETE or QUALITY not in trial.measures:
            continue
        value = trial.measures[QUALITY].value
        if not found or (value > found[-1][1] if rising else value < found[-1][1]):
            found.append((trial, value))
    return found


def _round_steps(count: int) -> list[int]:
    """About five round numbers up to `count`."""
    step = next(s for p in range(9) for s in (10**p, 2 * 10**p, 5 * 10**p) if s * 6 >= count)
    return list(range(step, count + 1, step))
