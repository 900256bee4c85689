"""What a strategy is: one file, a pure function that does the work, and a thin frozen class that is its card."""

import dataclasses
from abc import ABC
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar, Final, Literal, Self

from autoopt.space.catalogue import Declaration
from autoopt.space.domains import Choice, Condition, Domain, Real, Value, Whole
from autoopt.space.recipe import Recipe
from autoopt.task.facts import TaskFacts
from autoopt.values import Slot

NETWORKS: Final = ("networks",)
"""In a condition on `model`: every model that learns in steps. The catalogue puts their names in its place."""

ANY_SIZE: Final = ("networks of any size",)
"""The same for networks that take images of any size."""
COUNTING: Final = ("models of n-gram counts",)
"""The same for models of texts that read n-gram counts."""
SEQUENCES: Final = ("networks of tokens",)
"""The same for models of texts that read tokens in their order."""

Stage = Literal["prepare", "train", "shrink", "deploy", "combine"]


class Topic(StrEnum):
    """What a strategy is about: the groups of the catalogue, in the order in which people read them."""

    PREPROCESSING = "preprocessing and augmentation"
    ARCHITECTURE = "architecture"
    BATCHING = "batching and loading"
    LOSS = "loss and regularization"
    OPTIMIZER = "optimizer and schedule"
    ACCELERATOR = "accelerator and precision"
    MEMORY = "memory and storage"
    DISTILLATION = "distillation"
    PARALLEL = "parallel training"
    PRUNING = "pruning"
    DEPLOYING = "quantization and deploying"
    ENSEMBLES = "ensembles"


_TOPICS: Final[Mapping[Stage, Topic]] = {
    "prepare": Topic.PREPROCESSING,
    "train": Topic.ARCHITECTURE,
    "shrink": Topic.PRUNING,
    "deploy": Topic.DEPLOYING,
    "combine": Topic.ENSEMBLES,
}


def choice(*values: Value, main: bool = False, help: str = "") -> Any:
    """A field with named values; the first is the default."""
    return dataclasses.field(default=values[0], metadata=_meta(Choice(values=values), main, help))


def whole(default: int, *, low: int, high: int, log: bool = False, main: bool = False, help: str = "") -> Any:
    """A whole-number field: its default and the range that is possible at all."""
    return dataclasses.field(default=default, metadata=_meta(Whole(low=low, high=high, log=log), main, help))


def real(default: float, *, low: float, high: float, log: bool = False, main: bool = False, help: str = "") -> Any:
    """A number field: its default and the range that is possible at all."""
    return dataclasses.field(default=default, metadata=_meta(Real(low=low, high=high, log=log), main, help))


def _meta(domain: Domain, main: bool, help: str) -> dict[str, Any]:
    return {"domain": domain, "main": main, "help": help}


@dataclass(frozen=True, kw_only=True)
class Strategy(ABC):
    """One kind of choice. The fields of a subclass are its configuration, its docstring is its card.

    `name` is the strategy's name in a recipe. A field marked `main` is called just that (`impute: median`); every
    other field is `name.field` (`lightgbm.num_leaves: 31`). A strategy with a `family` is one option of that family's
    dimension (`model: lightgbm`), and its fields count only where it is chosen. `when` names earlier dimensions and
    the values under which this strategy means anything; `field_when` does so for single fields.
    """

    name: ClassVar[str]
    stage: ClassVar[Stage]
    topic: ClassVar[Topic | None] = None  # None: that of its stage
    family: ClassVar[str | None] = None
    when: ClassVar[Mapping[str, tuple[Value, ...]]] = {}
    field_when: ClassVar[Mapping[str, Mapping[str, tuple[Value, ...]]]] = {}
    stand_ins: ClassVar[tuple[Value, ...]] = ()
    """Values of the main field: where that of a known-good recipe does not apply, the first of these that does."""
    speed_only: ClassVar[bool] = False
    """Whether it changes how fast a training is, and not how good: a probe settles what a recipe leaves open of it."""

    @classmethod
    def about(cls) -> Topic:
        """The group of the catalogue that it stands in."""
        return cls.topic or _TOPICS[cls.stage]

    @classmethod
    def applies(cls, task: TaskFacts, slot: Slot) -> str | None:
        """None where the strategy can be used at all; else the reason why not, in a user's words."""
        return None

    @classmethod
    def value_applies(cls, value: Value, task: TaskFacts, slot: Slot) -> str | None:
        """The same for one value of the main field (fp16 needs a device that has it)."""
        return None

    @classmethod
    def field_value_applies(cls, field: str, value: Value, task: TaskFacts) -> str | None:
        """The same for a value of another field, by its name within the strategy."""
        return None

    @classmethod
    def candidates(cls, task: TaskFacts, slot: Slot) -> Mapping[str, tuple[Value, ...]]:
        """Of a strategy that only changes speed: what a probe tries of each field, the default first."""
        tried: dict[str, tuple[Value, ...]] = {}
        for spec in _choices(cls):
            domain = spec.metadata["domain"]
            if spec.metadata["main"] and isinstance(domain, Choice):
                tried[cls.name] = tuple(v for v in domain.values if cls.value_applies(v, task, slot) is None)
        return tried

    @classmethod
    def from_recipe(cls, recipe: Recipe) -> Self:
        """This strategy as the recipe configures it; fields that the recipe leaves out keep their defaults."""
        values: dict[str, Any] = {}
        for spec in _choices(cls):
            key = cls.name if spec.metadata["main"] else f"{cls.name}.{spec.name}"
            if key in recipe:
                values[spec.name] = recipe[key]
        return cls(**values)

    @classmethod
    def declarations(cls) -> tuple[Declaration, ...]:
        """One declaration for each field."""
        found = []
        for spec in _choices(cls):
            main = bool(spec.metadata["main"])
            conditions = {**cls.when, **({cls.family: (cls.name,)} if cls.family else {})}
            conditions |= cls.field_when.get(spec.name, {})
            found.append(
                Declaration(
                    name=cls.name if main else f"{cls.name}.{spec.name}",
                    domain=spec.metadata["domain"],
                    default=spec.default,  # type: ignore[arg-type]  # every field has a plain default
                    strategy=cls.name,
                    stage=cls.stage,
                    when=_condition(conditions),
                    summary=spec.metadata["help"],
                )
            )
        return tuple(found)


def _choices(strategy: type[Strategy]) -> list["dataclasses.Field[Any]"]:
    """The fields that a recipe decides; one without a domain is filled in otherwise."""
    return [spec for spec in dataclasses.fields(strategy) if "domain" in spec.metadata]


def _condition(conditions: Mapping[str, tuple[Value, ...]]) -> Condition:
    return tuple(conditions.items())
