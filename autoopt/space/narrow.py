"""Narrows a space: to what applies to a task and machine (`restrict`), and to what the user has decided (`pin`)."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from autoopt.errors import OptionError, Problem, SpaceError
from autoopt.space.catalogue import Catalogue, Declaration
from autoopt.space.conditions import cleaned, condition_text, same, satisfiable
from autoopt.space.domains import Choice, Dimension, Domain, Value, Whole
from autoopt.space.portfolio import complete
from autoopt.space.reading import nearest
from autoopt.space.recipe import Recipe
from autoopt.space.space import Space
from autoopt.space.values_in import allowed_text, typed_text

ReasonFor = Callable[[str, Value | None], str | None]
"""Why a value of a field cannot be used here, in a user's words; for the value None: why none of it means anything."""


class Untold(str):
    """A reason that is no news: what the user never asked for is left out without a word while something is left."""


def restrict(space: Space, reason_for: ReasonFor, stand_ins: Mapping[str, tuple[Value, ...]] | None = None) -> Space:
    """Without what does not apply; what went and why is in `dropped`.

    A field that means nothing here goes as a whole (no category column: no encode), else the choices that cannot be
    used go, those for an `Untold` reason without a trace, and a range of whole numbers ends with the last that can be
    used. Portfolio recipes do without the former, and go with the latter, unless one of the field's `stand_ins`, the
    first that is left, makes them fit.

    Raises SpaceError naming every dimension that is left without a choice.
    """
    kept: list[Dimension] = []
    dropped = dict.fromkeys(space.dropped)
    problems: list[Problem] = []
    for dimension in space.dimensions:
        reachable = cleaned([*kept, dimension])
        whole = reason_for(dimension.name, None)
        if len(reachable) == len(kept):  # it hangs on a choice that went
            continue
        if whole is not None:
            strategy = dimension.name.partition(".")[0]
            if (strategy, whole) not in dropped:  # else its fields go with it, untold
                dropped[dimension.name, whole] = None
            continue
        domain = dimension.domain
        asked = domain.values if isinstance(domain, Choice) else ()
        reasons = {value: why for value in asked if (why := reason_for(dimension.name, value)) is not None}
        told = {value: why for value, why in reasons.items() if not isinstance(why, Untold)}
        dropped |= {(f"{dimension.name}={value}", why): None for value, why in told.items()}
        left = tuple(v for v in asked if v not in reasons)
        if asked and not left:
            problems.append(_nothing_left(dimension, reasons))
            left = asked  # so that what hangs on it is checked too
        kept.append(replace(reachable[-1], domain=Choice(values=left) if left else _usable(dimension, reason_for)))
    if problems:
        raise SpaceError(problems)
    narrowed = Space(name=space.name, dimensions=cleaned(kept), dropped=tuple(dropped))
    return replace(narrowed, portfolio=_fitting(narrowed, space.portfolio, stand_ins or {}))


def _usable(dimension: Dimension, reason_for: ReasonFor) -> Domain:
    """A range of whole numbers up to the last that can be used; any other domain as it is."""
    domain = dimension.domain
    if not isinstance(domain, Whole):
        return domain
    downwards = range(domain.high, domain.low, -1)
    high = next((number for number in downwards if reason_for(dimension.name, number) is None), domain.low)
    return replace(domain, high=high)


def _fitting(
    space: Space, portfolio: Iterable[Recipe], stand_ins: Mapping[str, tuple[Value, ...]]
) -> tuple[Recipe, ...]:
    """Recipes less the fields that are no longer in the space; those that no stand-in makes fit into it go."""
    found: list[Recipe] = []
    left = {(d.name, value) for d in space.dimensions if isinstance(d.domain, Choice) for value in d.domain.values}
    instead = {name: next((v for v in values if (name, v) in left), None) for name, values in stand_ins.items()}
    known = {d.name for d in space.dimensions}
    for recipe in portfolio:
        fitted = Recipe({name: value for name, value in recipe.items() if name in known})
        if not space.contains(fitted):
            fitted = fitted.replace({n: v for n, v in instead.items() if v is not None and n in fitted})
        if space.contains(fitted) and fitted not in found:
            found.append(fitted)
    return tuple(found)


def _nothing_left(dimension: Dimension, reasons: Mapping[Value, str]) -> Problem:
    when = f" when {condition_text(dimension.when)}" if dimension.when else ""
    told = "; ".join(f"{value}: {reason}" for value, reason in reasons.items())
    mend = f"Allow another value of {dimension.name} in the space, or drop what needs it."
    return Problem(what=f"No choice of {dimension.name} applies here{when} ({told}).", mend=mend)


def pin(space: Space, assignments: Mapping[str, str] | Iterable[str], catalogue: Catalogue) -> Space:
    """The space with some fields decided: `{'model': 'mlp'}` or `['model=mlp', 'lightgbm.num_leaves=31']`.

    A value outside the space is allowed when the strategy allows it. Choices that cannot go with a pinned value are
    dropped, with the reason; portfolio recipes are adapted or go. Raises OptionError with every problem found.
    """
    problems: list[Problem] = []
    pins = _read_pins(assignments, catalogue, problems)
    if problems:
        raise OptionError(problems)
    narrowed = space
    for name, value in sorted(pins.items(), key=lambda pin: list(catalogue.declarations).index(pin[0])):
        narrowed = _pin_one(narrowed, catalogue.declarations[name], value)
    for name, value in pins.items():
        own = [d for d in narrowed.dimensions if d.name == name]
        if not own:
            problems.append(_never(name, value, space, catalogue.declarations[name]))
    if problems:
        raise OptionError(problems)
    return replace(narrowed, portfolio=_adapted(space, narrowed, pins, catalogue))


def _read_pins(
    assignments: Mapping[str, str] | Iterable[str], catalogue: Catalogue, problems: list[Problem]
) -> dict[str, Value]:
    texts = assignments.items() if isinstance(assignments, Mapping) else [a.partition("=")[::2] for a in assignments]
    pins: dict[str, Value] = {}
    for raw_name, text in texts:
        name = raw_name.strip()
        declaration = catalogue.declarations.get(name)
        option = f"--set {name}={text}"
        if declaration is None:
            mend = nearest(name, catalogue.declarations)
            problems.append(Problem(what=f"{option}: {name!r} is no strategy's field.", mend=mend))
            continue
        value = typed_text(str(text), declaration.domain)
        if value is None:
            mend = allowed_text(declaration.domain)
            problems.append(Problem(what=f"{option}: {str(text).strip()!r} is not possible.", mend=mend))
        elif name in pins and not same(pins[name], value):
            what = f"{option}: {name} was set to {pins[name]} already."
            problems.append(Problem(what=what, mend="Give it once."))
        else:
            pins[name] = value
    return pins


def _pin_one(space: Space, declaration: Declaration, value: Value) -> Space:
    name, pinned = declaration.name, Choice(values=(value,))
    variants = [d for d in space.dimensions if d.name == name]
    if not variants:
        added = Dimension(name=name, domain=pinned, when=declaration.when)
        return replace(space, dimensions=cleaned([*space.dimensions, added]))
    having = [d for d in variants if d.domain.contains(value)]
    dropped = list(space.dropped)
    dimensions = [replace(d, domain=pinned) if d.name == name else d for d in space.dimensions]
    if having:
        for without in (d for d in variants if d not in having):
            dimensions, gone = _exclude(dimensions, without, catalogue_when=declaration.when)
            dropped.extend((choice, f"{name}={value} does not go with it") for choice in gone)
    return replace(space, dimensions=cleaned(dimensions), dropped=tuple(dropped))


def _exclude(
    dimensions: list[Dimension], variant: Dimension, *, catalogue_when: Iterable[tuple[str, tuple[Value, ...]]]
) -> tuple[list[Dimension], list[str]]:
    """Make a variant impossible by taking its condition's values from the one dimension named there."""
    declared = dict(catalogue_when)
    own = [(name, values) for name, values in variant.when if set(values) != set(declared.get(name, ()))]
    if len(own) != 1:
        return dimensions, []
    name, values = own[0]
    changed: list[Dimension] = []
    for dimension in dimensions:
        domain = dimension.domain
        if dimension.name != name or not isinstance(domain, Choice):
            changed.append(dimension)
            continue
        left = tuple(v for v in domain.values if not any(same(v, w) for w in values))
        if left:
            changed.append(replace(dimension, domain=Choice(values=left)))
    return changed, [f"{name}={v}" for v in values]


def _never(name: str, value: Value, space: Space, declaration: Declaration) -> Problem:
    what = f"--set {name}={value} can never hold"
    if declaration.when and not satisfiable(dict(declaration.when), space.dimensions):
        needs = condition_text(declaration.when)
        return Problem(what=f"{what}: it counts only when {needs}.", mend="Choose another space, or leave it out.")
    if declaration.when:
        needs = condition_text(declaration.when)
        return Problem(what=f"{what} with the others: it counts only when {needs}.", mend="Leave one of them out.")
    return Problem(what=f"{what} with the others.", mend="Leave one of them out.")


def _adapted(space: Space, narrowed: Space, pins: Mapping[str, Value], catalogue: Catalogue) -> tuple[Recipe, ...]:
    found: list[Recipe] = []
    for recipe in space.portfolio:
        roots = [n for n in pins if catalogue.declarations[n].required]
        if any(name in recipe and not same(recipe[name], pins[name]) for name in roots):
            continue  # with another model it would be another recipe altogether
        # Pinning can end what another field hung on, or leave a field with one value: such fields start anew.
        wanted = {n: v for n, v in recipe.items() if n not in pins}
        chosen = _fitted(narrowed, wanted, catalogue)
        if chosen is not None and chosen not in found:
            found.append(chosen)
    if space.portfolio and not found:
        found.append(complete(narrowed, {}, catalogue))
    return tuple(found)


def _fitted(space: Space, wanted: Mapping[str, Value], catalogue: Catalogue) -> Recipe | None:
    """The recipe with these values where they are active; None when one of them is active and not in the space."""
    misfits: list[str] = []

    def choose(dimension: Dimension) -> Value:
        if dimension.name in wanted:
            if dimension.domain.contains(wanted[dimension.name]):
                return wanted[dimension.name]
            misfits.append(dimension.name)
        default = catalogue.declarations[dimension.name].default
        domain = dimension.domain
        if domain.contains(default):
            return default
        return domain.values[0] if isinstance(domain, Choice) else domain.low

    recipe = space.walk(choose)
    return None if misfits else recipe
