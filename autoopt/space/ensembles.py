"""An ensemble's recipe: its members' recipes side by side, each under a number, with its trial and its weight.

    model: ensemble
    quantize: none                    # or members: each in its own quantized form; or members_fp16
    ensemble.1.trial: 3
    ensemble.1.weight: 2
    ensemble.1.model: lightgbm
    ensemble.1.lightgbm.n_trees: 600

So it says all that is needed to build the same pipeline again, as any recipe does.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from autoopt.errors import SpaceError
from autoopt.space.domains import Value
from autoopt.space.recipe import Recipe

ENSEMBLE: Final = "ensemble"
"""Value of `model` in an ensemble's recipe, and the prefix of its members' fields."""
MEMBERS: Final = "members"
"""Value of `quantize` in an ensemble's recipe: each member in its own quantized form."""
MEMBERS_FP16: Final = "members_fp16"
"""The same, but networks with weights in fp16: next to nothing is lost."""
MOST_MEMBERS: Final = 5
"""Different ones: each costs its whole size and latency."""
MOST_WEIGHT: Final = 1000
_FIELD = re.compile(rf"{ENSEMBLE}\.([1-9])\.(.+)")


@dataclass(frozen=True, kw_only=True)
class Member:
    """One of those whose predictions are averaged."""

    trial: int  # number in the study that it was searched in
    weight: int  # its share of the average is this, divided by the sum of all
    recipe: Recipe


def is_ensemble(recipe: Mapping[str, Any]) -> bool:
    """Whether a recipe is one of an ensemble."""
    return recipe.get("model") == ENSEMBLE


def ensemble_recipe(members: Iterable[Member], *, quantize: str = "none") -> Recipe:
    """The recipe of these members, the same one in whichever order they come."""
    values: dict[str, Value] = {"model": ENSEMBLE, "quantize": quantize}
    for k, member in enumerate(sorted(members, key=lambda m: m.trial), start=1):
        fields = {**member.recipe, "trial": member.trial, "weight": member.weight}
        values |= {f"{ENSEMBLE}.{k}.{name}": value for name, value in fields.items() if name != ENSEMBLE}
    return Recipe(values)


def members_of(recipe: Mapping[str, Value]) -> tuple[Member, ...]:
    """The members that an ensemble's recipe names. Raises SpaceError for what `ensemble_recipe` would not write."""
    found: dict[str, dict[str, Value]] = {}
    strange = []
    for name, value in recipe.items():
        match = _FIELD.fullmatch(name)
        if match:
            found.setdefault(match[1], {})[match[2]] = value
        elif name not in ("model", "quantize"):
            strange.append(name)
    forms = ("none", MEMBERS, MEMBERS_FP16)
    if strange or not 2 <= len(found) <= MOST_MEMBERS or recipe.get("quantize", "none") not in forms:
        told = f"it holds {', '.join(strange)}" if strange else f"it has {len(found)} members"
        raise SpaceError(
            f"The recipe is none of an ensemble: {told}.",
            f"2 to {MOST_MEMBERS} members, {ENSEMBLE}.1.model and so on, and quantize one of {', '.join(forms)}.",
        )
    return tuple(_member(k, fields) for k, fields in sorted(found.items()))


def _member(number: str, fields: Mapping[str, Value]) -> Member:
    trial, weight = fields.get("trial"), fields.get("weight")
    counts = isinstance(weight, int) and not isinstance(weight, bool) and 1 <= weight <= MOST_WEIGHT
    if not isinstance(trial, int) or isinstance(trial, bool) or not counts or "model" not in fields:
        raise SpaceError(
            f"{ENSEMBLE}.{number} is no member of an ensemble.",
            f"Give it a model, a trial (its number) and a weight of 1 to {MOST_WEIGHT}.",
        )
    recipe = Recipe({name: value for name, value in fields.items() if name not in ("trial", "weight")})
    return Member(trial=trial, weight=int(weight), recipe=recipe)  # type: ignore[arg-type]  # `counts` says so


def shares(members: Iterable[Member]) -> tuple[float, ...]:
    """What each counts for; together 1."""
    weights = [m.weight for m in members]
    return tuple(w / sum(weights) for w in weights)


def ensemble_words(recipe: Mapping[str, Value]) -> str:
    """`ensemble of trials 3, 15 ×2, 28`."""
    told = [f"{m.trial} ×{m.weight}" if m.weight > 1 else str(m.trial) for m in members_of(recipe)]
    return f"ensemble of trials {', '.join(told)}"
