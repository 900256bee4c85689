"""From a space file's text to a Space: everything wrong with it is told at once, with what is allowed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from autoopt.errors import Problem, SpaceError
from autoopt.space.catalogue import Catalogue, Declaration
from autoopt.space.conditions import condition_text, merged, reachable_values, satisfiable
from autoopt.space.domains import Condition, Dimension, Domain, Value
from autoopt.space.parse_domain import parse_domain
from autoopt.space.portfolio import parse_portfolio
from autoopt.space.reading import nearest, read_yaml, shown
from autoopt.space.space import Space
from autoopt.space.values_in import allowed_text, typed

MAX_DIMENSIONS = 200
_KEYS = ("name", "dimensions", "portfolio")


def parse_space(text: str, catalogue: Catalogue, *, source: str) -> Space:
    """The space that `text` describes; `source` names it in messages. Raises SpaceError with every problem found."""
    raw, problems = read_yaml(text, source=source)
    if not isinstance(raw, dict) or not raw:
        what = "is empty" if raw is None or raw == {} else "is not a mapping"
        raise SpaceError(f"{source} {what}.", f"A space has the keys {', '.join(_KEYS)}.")
    for key in raw:
        if key not in _KEYS:
            problems.append(Problem(what=f"Unknown key {shown(key)}.", mend=nearest(key, _KEYS)))
    name = raw.get("name", "custom")
    if not isinstance(name, str) or not name:
        problems.append(Problem(what=f"name: {shown(name)} is not a text.", mend="Write it like 'name: tabular'."))
    reader = _Reader(catalogue=catalogue, problems=problems)
    reader.read(raw.get("dimensions"))
    space = Space(name=str(name), dimensions=tuple(reader.dimensions))
    # Recipes can only be compared with dimensions that could all be read.
    portfolio = () if reader.problems else parse_portfolio(raw.get("portfolio"), space, catalogue, problems)
    if problems:
        raise SpaceError([Problem(what=f"{source}: {p.what}", mend=p.mend) for p in problems])
    return Space(name=str(name), dimensions=space.dimensions, portfolio=portfolio)


@dataclass(kw_only=True)
class _Reader:
    """Reads dimensions in order; what could be read is in `dimensions`, what was wrong in `problems`."""

    catalogue: Catalogue
    problems: list[Problem]
    dimensions: list[Dimension] = field(default_factory=list)
    names: tuple[str, ...] = ()

    def read(self, raw: object) -> None:
        if not isinstance(raw, dict) or not raw:
            self._tell("dimensions: there are none.", "Give at least 'model: [...]' under it.")
            return
        if len(raw) > MAX_DIMENSIONS:
            self._tell(f"dimensions: {len(raw)} are too many.", f"At most {MAX_DIMENSIONS}.")
            return
        self.names = tuple(str(name) for name in raw)
        for name, value in raw.items():
            declaration = self.catalogue.declarations.get(name) if isinstance(name, str) else None
            if declaration is None:
                self._tell(f"{shown(name)} is no strategy's field.", nearest(name, self.catalogue.declarations))
                continue
            before = len(self.problems)
            for variant in self._variants(name, value):
                self._read_variant(declaration, variant)
            if len(self.problems) == before:
                self._refuse_overlaps(name)
        for declaration in self.catalogue.declarations.values():
            if declaration.required and declaration.name not in self.names:
                self._tell(f"{declaration.name!r} is not among the dimensions.", f"Add it: {declaration.domain}.")

    def _tell(self, what: str, mend: str) -> None:
        self.problems.append(Problem(what=what, mend=mend))

    @staticmethod
    def _variants(name: str, value: object) -> Sequence[object]:
        several = isinstance(value, list) and bool(value) and all(isinstance(v, dict) for v in value)
        return value if several else [value]  # type: ignore[return-value]  # `several` says that it is a list

    def _read_variant(self, declaration: Declaration, raw: object) -> None:
        name = declaration.name
        domain = parse_domain(raw, declaration, self.problems)
        given = raw.get("when") if isinstance(raw, dict) else None
        when = self._condition(name, given) if given is not None else ()
        if domain is None or when is None:
            return
        if not self._has_conditions_of(declaration):
            return
        # The field's own condition: values of it that this space never takes are no mistake of the file's.
        both = merged(when, declaration.when)
        narrowed = tuple((n, reachable_values(n, values, self.dimensions)) for n, values in both.items())
        if satisfiable(dict(narrowed), self.dimensions):
            self._add(name, domain, narrowed)
        else:
            texts = " and ".join(condition_text(c) for c in (declaration.when, when) if c)
            self._tell(f"{name}: it counts only when {texts}, which no recipe has.", "Change 'when', or leave it out.")

    def _has_conditions_of(self, declaration: Declaration) -> bool:
        """Whether the dimensions that the field itself hangs on were read before it."""
        name, readable = declaration.name, True
        for other, _ in declaration.when:
            if other not in self.names:
                text = condition_text(declaration.when)
                self._tell(f"{name}: it counts only when {text}, and {other!r} is no dimension.", f"Add {other!r}.")
            elif self.names.index(other) > self.names.index(name):
                self._tell(f"{name}: it hangs on {other!r}, which is decided later.", f"Write {other!r} before it.")
            readable &= any(d.name == other for d in self.dimensions)
        return readable

    def _add(self, name: str, domain: Domain, when: Condition) -> None:
        earlier = sum(d.name == name for d in self.dimensions)
        key = name if not earlier else f"{name}#{earlier + 1}"
        self.dimensions.append(Dimension(name=name, domain=domain, when=when, key=key))

    def _condition(self, name: str, raw: object) -> Condition | None:
        """The `when` of one dimension; None after telling what is wrong with it."""
        before = len(self.problems)
        if not isinstance(raw, Mapping) or not raw:
            self._tell(f"{name}: when: {shown(raw)} is not a mapping.", "Write it like 'when: {model: [mlp]}'.")
            return None
        found: list[tuple[str, tuple[Value, ...]]] = []
        for other, values in raw.items():
            found.append((str(other), self._condition_values(name, other, values)))
        readable = all(values for _, values in found)  # else a dimension it names was told about already
        return tuple(found) if len(self.problems) == before and readable else None

    def _condition_values(self, name: str, other: Any, raw: object) -> tuple[Value, ...]:
        where = f"{name}: when: "
        earlier = {d.name for d in self.dimensions}
        if other == name:
            self._tell(f"{where}it names itself.", "Name dimensions that are decided before it.")
        elif other not in self.catalogue.declarations:
            self._tell(f"{where}{shown(other)} is no strategy's field.", nearest(other, self.names))
        elif other not in self.names:
            self._tell(f"{where}{other!r} is no dimension of this space.", f"Add it before {name!r}.")
        elif self.names.index(other) > self.names.index(name):
            self._tell(f"{where}{other!r} is decided later.", f"Move {other!r} before {name!r}.")
        elif other in earlier:
            return self._taken_values(where, other, raw)
        return ()

    def _taken_values(self, where: str, other: str, raw: object) -> tuple[Value, ...]:
        domain = self.catalogue.declarations[other].domain
        given = raw if isinstance(raw, list) else [raw]
        if not given:
            self._tell(f"{where}{other}: no values.", allowed_text(domain))
        found: list[Value] = []
        for value in given:
            known = typed(value, domain)
            if known is None:
                self._tell(f"{where}{other}: {shown(value)} is not possible.", allowed_text(domain))
            elif not satisfiable({other: (known,)}, self.dimensions):
                taken = ", ".join(str(d.domain) for d in self.dimensions if d.name == other)
                self._tell(f"{where}{other} is never {shown(value)} in this space.", f"It takes {taken}.")
            else:
                found.append(known)
        return tuple(found)

    def _refuse_overlaps(self, name: str) -> None:
        variants = [d for d in self.dimensions if d.name == name]
        for i, one in enumerate(variants):
            for other in variants[i + 1 :]:
                if satisfiable(merged(one.when, other.when), [d for d in self.dimensions if d.name != name]):
                    texts = " / ".join(condition_text(v.when) or "always" for v in (one, other))
                    mend = "Give each a 'when' that excludes the others."
                    self._tell(f"{name}: two variants can hold at once ({texts}).", mend)
