"""A space in full: as text for people and golden files, and as JSON for the ledger."""

from collections.abc import Mapping
from typing import Any

from autoopt.space.conditions import condition_text
from autoopt.space.domains import Choice, Dimension, Domain, Real, Whole
from autoopt.space.recipe import Recipe
from autoopt.space.space import Space


def describe(space: Space) -> str:
    """Every dimension with its domain and condition, then every portfolio recipe, one line each."""
    lines = [
        f"space {space.name}: {len(space.dimensions)} dimensions, {len(space.portfolio)} recipes to start with",
        "",
    ]
    for dimension in space.dimensions:
        when = f"  [when {condition_text(dimension.when)}]" if dimension.when else ""
        lines.append(f"{dimension.key}: {_domain_text(dimension.domain)}{when}")
    for place, recipe in enumerate(space.portfolio, start=1):
        lines.append(f"\nrecipe {place}")
        lines.extend(f"  {name}: {value}" for name, value in recipe.items())
    for what, why in space.dropped:
        lines.append(f"\nleft out {what}: {why}")
    return "\n".join(lines) + "\n"


def _domain_text(domain: Domain) -> str:
    if isinstance(domain, Choice):
        return " | ".join(str(v) for v in domain.values)
    kind = "whole" if isinstance(domain, Whole) else "real"
    return f"{kind} {domain.low:g} .. {domain.high:g}{' log' if domain.log else ''}"


def space_to_json(space: Space) -> dict[str, Any]:
    """Plain JSON, from which `space_from_json` makes an equal space."""
    return {
        "name": space.name,
        "dimensions": [
            {
                "name": d.name,
                "key": d.key,
                "domain": _domain_to_json(d.domain),
                "when": [[name, list(values)] for name, values in d.when],
            }
            for d in space.dimensions
        ],
        "portfolio": [recipe.to_json() for recipe in space.portfolio],
        "dropped": [list(pair) for pair in space.dropped],
    }


def space_from_json(raw: Mapping[str, Any]) -> Space:
    """The space that `space_to_json` wrote."""
    return Space(
        name=raw["name"],
        dimensions=tuple(
            Dimension(
                name=d["name"],
                key=d["key"],
                domain=_domain_from_json(d["domain"]),
                when=tuple((name, tuple(values)) for name, values in d["when"]),
            )
            for d in raw["dimensions"]
        ),
        portfolio=tuple(Recipe(recipe) for recipe in raw["portfolio"]),
        dropped=tuple((what, why) for what, why in raw["dropped"]),
    )


def _domain_to_json(domain: Domain) -> dict[str, Any]:
    if isinstance(domain, Choice):
        return {"choices": list(domain.values)}
    kind = "whole" if isinstance(domain, Whole) else "real"
    return {"kind": kind, "low": domain.low, "high": domain.high, "log": domain.log}


def _domain_from_json(raw: Mapping[str, Any]) -> Domain:
    if "choices" in raw:
        return Choice(values=tuple(raw["choices"]))
    if raw["kind"] == "whole":
        return Whole(low=int(raw["low"]), high=int(raw["high"]), log=raw["log"])
    return Real(low=float(raw["low"]), high=float(raw["high"]), log=raw["log"])
