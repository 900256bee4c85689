"""The domain of one dimension as a space file writes it: a value, a list, `{low, high, log}` or `{choices}`."""

from collections.abc import Mapping

from autoopt.errors import Problem
from autoopt.space.catalogue import Declaration
from autoopt.space.conditions import same
from autoopt.space.domains import Choice, Domain, Real, Value, Whole
from autoopt.space.reading import nearest, shown
from autoopt.space.values_in import allowed_text, typed

MAX_CHOICES = 100
_KEYS = ("choices", "low", "high", "log", "when")


def parse_domain(raw: object, declaration: Declaration, problems: list[Problem]) -> Domain | None:
    """The domain, inside the declared one; None after adding to `problems` what is wrong."""
    before = len(problems)
    if not isinstance(raw, Mapping):
        return _choices(raw if isinstance(raw, list) else [raw], declaration, problems)
    for key in raw:
        if key not in _KEYS:
            problems.append(Problem(what=f"{declaration.name}: unknown key {shown(key)}.", mend=nearest(key, _KEYS)))
    if "choices" in raw:
        extra = [key for key in ("low", "high", "log") if key in raw]
        if extra:
            what = f"{declaration.name}: 'choices' and {extra[0]!r} exclude each other."
            problems.append(Problem(what=what, mend="Keep one."))
        given = raw["choices"]
        domain: Domain | None = _choices(given if isinstance(given, list) else [given], declaration, problems)
    elif "low" in raw and "high" in raw:
        domain = _range(raw, declaration, problems)
    else:
        mend = "Give {low: ..., high: ...} or {choices: [...]}. " + allowed_text(declaration.domain)
        problems.append(Problem(what=f"{declaration.name}: neither a range nor choices.", mend=mend))
        return None
    return domain if len(problems) == before else None


def _choices(given: list[object], declaration: Declaration, problems: list[Problem]) -> Choice | None:
    name, allowed = declaration.name, allowed_text(declaration.domain)
    before = len(problems)
    if not given:
        problems.append(Problem(what=f"{name}: the list of choices is empty.", mend=allowed))
    if len(given) > MAX_CHOICES:
        problems.append(Problem(what=f"{name}: {len(given)} choices are too many.", mend=f"At most {MAX_CHOICES}."))
        return None
    values: list[Value] = []
    for raw in given:
        value = typed(raw, declaration.domain)
        if value is None:
            problems.append(Problem(what=f"{name}: {shown(raw)} is not possible.", mend=_mend(raw, declaration)))
        elif any(same(value, v) for v in values):
            problems.append(Problem(what=f"{name}: {shown(raw)} is given twice.", mend="Keep one of them."))
        else:
            values.append(value)
    return Choice(values=tuple(values)) if len(problems) == before else None


def _mend(raw: object, declaration: Declaration) -> str:
    """What is allowed, with the nearest name for a misspelt word, or how to write a word that YAML reads otherwise."""
    allowed = allowed_text(declaration.domain)
    domain = declaration.domain
    if not isinstance(domain, Choice):
        return allowed
    if raw is None and domain.contains("none"):
        return f"Write 'none'. {allowed}"
    words = [v for v in domain.values if isinstance(v, str)]
    hint = nearest(raw, words) if isinstance(raw, str) and words else ""
    return f"{hint} {allowed}" if hint.startswith("Did you mean") else allowed


def _range(raw: Mapping[str, object], declaration: Declaration, problems: list[Problem]) -> Domain | None:
    name, declared, before = declaration.name, declaration.domain, len(problems)
    allowed = allowed_text(declared)
    if isinstance(declared, Choice):
        problems.append(Problem(what=f"{name}: a range is not possible here.", mend=f"Give a list. {allowed}"))
        return None
    low, high = typed(raw["low"], declared), typed(raw["high"], declared)
    for key, value in (("low", low), ("high", high)):
        if value is None:
            problems.append(Problem(what=f"{name}: {key}: {shown(raw[key])} is not possible.", mend=allowed))
    log = raw.get("log", False)
    if not isinstance(log, bool):
        problems.append(
            Problem(what=f"{name}: log: {shown(log)} is neither true nor false.", mend="Say true or false.")
        )
    bounds = _number(raw["low"]), _number(raw["high"])
    if bounds[0] is not None and bounds[1] is not None and bounds[0] > bounds[1]:
        what = f"{name}: the range is empty: low {shown(raw['low'])} is above high {shown(raw['high'])}."
        problems.append(Problem(what=what, mend="Swap them."))
    if log is True and bounds[0] is not None and bounds[0] <= 0:
        what = f"{name}: a logarithmic range cannot start at {shown(raw['low'])}."
        problems.append(Problem(what=what, mend="Use a low above 0, or leave 'log' out."))
    if len(problems) > before or low is None or high is None:
        return None
    if isinstance(declared, Whole):
        return Whole(low=int(low), high=int(high), log=bool(log))
    return Real(low=float(low), high=float(high), log=bool(log))


def _number(raw: object) -> int | float | None:
    return raw if isinstance(raw, int | float) and not isinstance(raw, bool) else None
