"""The metrics by name: which way is better, and which kinds of task they fit. The arithmetic is in `scoring`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from autoopt.errors import OptionError
from autoopt.task.facts import Kind, TaskFacts
from autoopt.task.wording import listed, nearest
from autoopt.values import Direction

_CLASSES: Final = (Kind.BINARY, Kind.MULTICLASS)


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A metric's card."""

    name: str
    direction: Direction
    kinds: tuple[Kind, ...]
    summary: str
    about_positive: bool = False  # with two classes it is about the second of them alone
    needs_both: bool = False  # undefined where only one class is present

    @property
    def greater_is_better(self) -> bool:
        return self.direction == "maximize"


_CARDS = (
    Metric(
        name="roc_auc",
        direction="maximize",
        kinds=_CLASSES,
        summary="area under the ROC curve; more than two classes: one against the rest, weighted by frequency",
        needs_both=True,
    ),
    Metric(name="accuracy", direction="maximize", kinds=_CLASSES, summary="share of rows with the right class"),
    Metric(
        name="log_loss", direction="minimize", kinds=_CLASSES, summary="cross-entropy of the probabilities, in nats"
    ),
    Metric(
        name="f1",
        direction="maximize",
        kinds=_CLASSES,
        summary="F1 of the second class; more than two classes: mean over the classes",
        about_positive=True,
    ),
    Metric(
        name="precision",
        direction="maximize",
        kinds=_CLASSES,
        summary="precision of the second class; more than two classes: mean over the classes",
        about_positive=True,
    ),
    Metric(
        name="recall",
        direction="maximize",
        kinds=_CLASSES,
        summary="recall of the second class; more than two classes: mean over the classes",
        about_positive=True,
    ),
    Metric(
        name="average_precision",
        direction="maximize",
        kinds=(Kind.BINARY,),
        summary="area under the precision-recall steps of the second class",
        about_positive=True,
        needs_both=True,
    ),
    Metric(
        name="rmse",
        direction="minimize",
        kinds=(Kind.REGRESSION,),
        summary="root of the mean squared error, in the target's unit",
    ),
    Metric(
        name="mae", direction="minimize", kinds=(Kind.REGRESSION,), summary="mean absolute error, in the target's unit"
    ),
    Metric(
        name="r2", direction="maximize", kinds=(Kind.REGRESSION,), summary="share of the target's variance explained"
    ),
)
METRICS: Final[Mapping[str, Metric]] = {card.name: card for card in _CARDS}
"""Every metric by name."""

_DEFAULTS: Final = {Kind.BINARY: "roc_auc", Kind.MULTICLASS: "accuracy", Kind.REGRESSION: "rmse"}


def metric(name: str) -> Metric:
    """The metric of that name. Raises OptionError with the names there are."""
    if name not in METRICS:
        close = nearest(name, tuple(METRICS))
        hint = f"Did you mean {close[0]!r}? " if close else ""
        raise OptionError(f"--metric {name!r} is not a metric.", f"{hint}Metrics: {', '.join(METRICS)}.")
    return METRICS[name]


def metric_of(facts: TaskFacts) -> Metric:
    """The task's metric; of a module task it may be a function of the user's."""
    if facts.module_facts is not None and facts.module_facts.own_metric:
        return Metric(
            name=facts.metric, direction=facts.metric_direction, kinds=(facts.kind,), summary="the module's own metric"
        )
    return metric(facts.metric)


def metrics_for(kind: Kind) -> tuple[str, ...]:
    """Names of the metrics that fit a kind of task, the default first."""
    fitting = [name for name, card in METRICS.items() if kind in card.kinds]
    return tuple(sorted(fitting, key=lambda name: name != _DEFAULTS[kind]))


def fitting_metric(name: str | None, kind: Kind, classes: tuple[str, ...]) -> Metric:
    """The metric asked for, or the kind's default. Raises OptionError when it does not fit, with those that do."""
    chosen = metric(name or _DEFAULTS[kind])
    if kind not in chosen.kinds:
        target = "numbers" if kind is Kind.REGRESSION else f"{len(classes)} classes ({listed(classes)})"
        raise OptionError(
            f"--metric {chosen.name} does not fit: the target holds {target}, so the task is {kind.value}.",
            f"Metrics for {kind.value}: {', '.join(metrics_for(kind))}.",
        )
    return chosen
