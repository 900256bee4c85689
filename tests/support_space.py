"""A small catalogue and space, shaped like the real ones: a family, fields of its members, conditions, variants."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from autoopt.space import Catalogue, Declaration, Space, parse_space
from autoopt.space.domains import Choice
from autoopt.strategies.base import Stage, Strategy, choice, real, whole


@dataclass(frozen=True, kw_only=True)
class Fill(Strategy):
    """How missing values are filled."""

    name: ClassVar[str] = "fill"
    stage: ClassVar[Stage] = "prepare"
    kind: str = choice("median", "mean", "native", "none", main=True)


@dataclass(frozen=True, kw_only=True)
class Forest(Strategy):
    """Trees."""

    name: ClassVar[str] = "forest"
    stage: ClassVar[Stage] = "train"
    family: ClassVar[str] = "model"
    trees: int = whole(100, low=1, high=1000, log=True)
    depth: int = whole(6, low=1, high=50)
    rate: float = real(0.1, low=0.0, high=1.0)


@dataclass(frozen=True, kw_only=True)
class Net(Strategy):
    """A network."""

    name: ClassVar[str] = "net"
    stage: ClassVar[Stage] = "train"
    family: ClassVar[str] = "model"
    width: int = whole(64, low=8, high=1024, log=True)
    norm: bool = choice(True, False)


@dataclass(frozen=True, kw_only=True)
class Line(Strategy):
    """A line; it has no fields."""

    name: ClassVar[str] = "line"
    stage: ClassVar[Stage] = "train"
    family: ClassVar[str] = "model"


@dataclass(frozen=True, kw_only=True)
class Rule(Strategy):
    """How a network learns."""

    name: ClassVar[str] = "rule"
    stage: ClassVar[Stage] = "train"
    when: ClassVar = {"model": ("net",)}
    field_when: ClassVar[Mapping[str, Mapping[str, tuple[str, ...]]]] = {"momentum": {"rule": ("sgd",)}}
    kind: str = choice("adam", "sgd", main=True)
    learning_rate: float = real(1e-3, low=1e-5, high=1.0, log=True)
    momentum: float = real(0.9, low=0.0, high=0.99)


@dataclass(frozen=True, kw_only=True)
class Shrink(Strategy):
    """How the model is made smaller."""

    name: ClassVar[str] = "shrink"
    stage: ClassVar[Stage] = "deploy"
    kind: str = choice("none", "compact", "int8", main=True)


MEMBERS = (Forest, Net, Line)


def small_catalogue() -> Catalogue:
    """`model` first, then the fields of each strategy."""
    model = Declaration(
        name="model",
        domain=Choice(values=tuple(m.name for m in MEMBERS)),
        default="forest",
        strategy="model",
        stage="train",
        required=True,
    )
    fields = [d for s in (Fill, *MEMBERS, Rule, Shrink) for d in s.declarations()]
    return Catalogue([model, *fields])


SMALL_SPACE = """
name: small
dimensions:
  model: [forest, net, line]
  fill:
    - {choices: [native, median], when: {model: forest}}
    - {choices: [median, mean], when: {model: [net, line]}}
  forest.trees: {low: 10, high: 300, log: true}
  forest.depth: {low: 2, high: 12}
  forest.rate: {low: 0.01, high: 0.5, log: true}
  net.width: [32, 64, 128]
  net.norm: [true, false]
  rule: [adam, sgd]
  rule.learning_rate: {low: 1e-4, high: 1e-1, log: true}
  rule.momentum: {low: 0.5, high: 0.99}
  shrink:
    - {choices: [none, compact], when: {model: forest}}
    - {choices: [none, int8], when: {model: net}}
portfolio:
  - {model: line}
  - {model: forest, forest.trees: 50, shrink: compact}
  - {model: net, rule: sgd, net.width: 128}
"""


def small_space(text: str = SMALL_SPACE) -> Space:
    """The space that `text` describes, over the small catalogue."""
    return parse_space(text, small_catalogue(), source="small.yaml")
