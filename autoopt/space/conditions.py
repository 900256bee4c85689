"""When conditions can hold, together or at all. Exact: a condition names earlier dimensions only."""

from collections.abc import Iterable, Mapping, Sequence

from autoopt.space.domains import Choice, Condition, Dimension, Domain, Value

Wanted = Mapping[str, tuple[Value, ...]]
"""Names with the values that are wanted of them, all at once."""


def same(one: Value, other: Value) -> bool:
    """Equality that keeps True and 1 apart, and takes 1 and 1.0 for the same."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def merged(*conditions: Iterable[tuple[str, tuple[Value, ...]]]) -> dict[str, tuple[Value, ...]]:
    """All conditions at once: for each name the values that every one of them allows, perhaps none."""
    found: dict[str, tuple[Value, ...]] = {}
    for condition in conditions:
        for name, values in condition:
            known = found.get(name)
            found[name] = values if known is None else tuple(v for v in known if any(same(v, w) for w in values))
    return found


def satisfiable(wanted: Wanted, dimensions: Sequence[Dimension]) -> bool:
    """Whether some recipe of these dimensions has, for every name, one of the wanted values."""
    if not wanted:
        return True
    if any(not values for values in wanted.values()):
        return False
    latest = next((d.name for d in reversed(dimensions) if d.name in wanted), None)
    if latest is None:
        return False
    rest = tuple((name, values) for name, values in wanted.items() if name != latest)
    if any(name not in {d.name for d in dimensions} for name, _ in rest):
        return False
    variants = [d for d in dimensions if d.name == latest and any(d.domain.contains(v) for v in wanted[latest])]
    return any(satisfiable(merged(rest, d.when), dimensions) for d in variants)


def reachable_values(name: str, values: Sequence[Value], dimensions: Sequence[Dimension]) -> tuple[Value, ...]:
    """Those of `values` that some recipe takes for `name`."""
    return tuple(v for v in values if satisfiable({name: (v,)}, dimensions))


def cleaned(dimensions: Sequence[Dimension]) -> tuple[Dimension, ...]:
    """Without the dimensions that can never be active, and without condition values that are never taken."""
    kept: list[Dimension] = []
    for dimension in dimensions:
        when = tuple((name, reachable_values(name, values, kept)) for name, values in dimension.when)
        if satisfiable(dict(when), kept):
            kept.append(Dimension(name=dimension.name, domain=dimension.domain, when=when, key=dimension.key))
    return tuple(kept)


def condition_text(condition: Condition) -> str:
    """`model is lightgbm or mlp and encode is embed`."""
    return " and ".join(f"{name} is {' or '.join(str(v) for v in values)}" for name, values in condition)


def clipped(value: Value, domain: Domain) -> Value:
    """The value itself when the domain has it; else the nearest number, or the first choice."""
    if domain.contains(value):
        return value
    numeric = isinstance(value, int | float) and not isinstance(value, bool)
    if isinstance(domain, Choice):
        numbers = [v for v in domain.values if isinstance(v, int | float) and not isinstance(v, bool)]
        if numeric and len(numbers) == len(domain.values):
            return min(numbers, key=lambda v: abs(v - value))  # type: ignore[operator]  # numeric says so
        return domain.values[0]
    if not numeric:
        return domain.low
    nearest = min(max(value, domain.low), domain.high)
    return nearest if domain.contains(nearest) else domain.low
