"""The metrics' arithmetic, on weighted rows, so that a score and its bootstrap interval are one formula.

Every formula takes weights (rounds, rows) and gives (rounds,) values: a score is one round of ones, a bootstrap is a
matrix of how often each row was drawn. Scores are (rows, classes) probabilities, or (rows, 1) or (rows,) values.
A class is predicted where its probability is highest; of equal ones, the first. Checked against scikit-learn in tests.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoopt.errors import StageFailure
from autoopt.task.facts import Kind, TaskFacts
from autoopt.task.metrics import metric
from autoopt.task.module.own_metric import own_formula
from autoopt.values import FailureReason

Floats = NDArray[np.float64]
Formula = Callable[[Floats], Floats]

INTERVAL_WORK = 2_000_000
"""Rounds x rows x classes that one interval may cost; more rows than fit are sampled."""
_LEAST_ROWS = 1_000
_CONFIDENCE = 0.95


def score(metric_name: str, facts: TaskFacts, target: NDArray[Any], scores: NDArray[Any]) -> float:
    """Value of the metric; NaN where it is undefined (ROC AUC of one class). StageFailure for scores not finite."""
    formula = _formula(metric_name, facts, target, _checked(facts, target, scores))
    return float(formula(np.ones((1, len(target))))[0])


def bootstrap_interval(
    metric_name: str, facts: TaskFacts, target: NDArray[Any], scores: NDArray[Any], *, rounds: int = 200, seed: int = 0
) -> tuple[float, float]:
    """95 % interval of the metric over resampled rows (percentile bootstrap).

    Above about 2e6 / (rounds x classes) rows, that many are sampled and the interval, which is then too wide, is
    narrowed by the root of their share and laid around the score of all rows.
    """
    values = _checked(facts, target, scores)
    whole = score(metric_name, facts, target, scores)
    chosen, weights, share = _resampled(facts, *values.shape, rounds=rounds, seed=seed)
    target, values = target[chosen], values[chosen]
    found = _formula(metric_name, facts, target, values)(weights)
    found = found[np.isfinite(found)]
    if len(found) == 0:
        return whole, whole
    centre = whole if share == 1.0 else score(metric_name, facts, target, values)
    tail = (1 - _CONFIDENCE) / 2
    low, high = np.quantile(found, [tail, 1 - tail])
    return float(whole + (low - centre) * share**0.5), float(whole + (high - centre) * share**0.5)


def difference_error(
    metric_name: str,
    facts: TaskFacts,
    target: NDArray[Any],
    first: NDArray[Any],
    second: NDArray[Any],
    *,
    rounds: int = 200,
    seed: int = 0,
) -> float:
    """Standard error of how much two scores of the same rows differ in the metric (paired bootstrap).

    Above some number of rows they are sampled as for `bootstrap_interval`.
    """
    both = [_checked(facts, target, scores) for scores in (first, second)]
    chosen, weights, share = _resampled(facts, *both[0].shape, rounds=rounds, seed=seed)
    one, other = (_formula(metric_name, facts, target[chosen], values[chosen])(weights) for values in both)
    differences = (one - other)[np.isfinite(one - other)]
    return float(np.std(differences) * share**0.5) if len(differences) else 0.0


def _resampled(
    facts: TaskFacts, rows: int, columns: int, *, rounds: int, seed: int
) -> tuple[NDArray[np.int64], Floats, float]:
    """Rows that are looked at, how often each is drawn (rounds, those rows), and their share of all rows."""
    generator = np.random.default_rng(seed)
    most = max(_LEAST_ROWS, INTERVAL_WORK // (rounds * (columns if facts.kind is Kind.MULTICLASS else 1)))
    chosen = np.arange(rows) if rows <= most else np.sort(generator.choice(rows, size=most, replace=False))
    left = len(chosen)
    drawn = [np.bincount(generator.integers(0, left, left), minlength=left) for _ in range(rounds)]
    return chosen, np.stack(drawn).astype(np.float64), left / rows


def dummy_scores(facts: TaskFacts, train_target: NDArray[Any], rows: int) -> Floats:
    """What a model that looks at no column would say: class shares of train, its mean, or for `mae` its median."""
    if facts.kind.classifies:
        shares = np.bincount(train_target, minlength=len(facts.classes)) / len(train_target)
        return np.tile(shares.astype(np.float64), (rows, 1))
    value = np.median(train_target) if facts.metric == "mae" else np.mean(train_target)
    return np.full((rows, 1), float(value))


def _checked(facts: TaskFacts, target: NDArray[Any], scores: NDArray[Any]) -> Floats:
    """Scores as float64 (rows, classes or 1). ValueError for a wrong shape, StageFailure where not finite."""
    values = np.asarray(scores, dtype=np.float64)
    values = values[:, None] if values.ndim == 1 else values
    width = len(facts.classes) if facts.kind.classifies else 1
    if values.shape != (len(target), width):
        raise ValueError(f"scores have the shape {values.shape}, not {(len(target), width)}")
    if not np.isfinite(values).all():
        bad = int((~np.isfinite(values).all(axis=1)).sum())
        raise StageFailure(FailureReason.NOT_FINITE, f"{bad} of {len(target)} predictions are not finite numbers")
    return values


def _formula(metric_name: str, facts: TaskFacts, target: NDArray[Any], scores: Floats) -> Formula:
    if facts.module_facts is not None and facts.module_facts.own_metric and metric_name == facts.metric:
        return own_formula(facts, target, scores)
    name = metric(metric_name).name
    if not facts.kind.classifies:
        return _regression(name, target.astype(np.float64), scores[:, 0])
    if name == "accuracy":
        return _mean((scores.argmax(axis=1) == target).astype(np.float64))
    if name == "log_loss":
        least = np.finfo(np.float64).eps
        return _mean(-np.log(np.clip(scores[np.arange(len(target)), target], least, 1 - least)))
    if name in ("f1", "precision", "recall"):
        return _confusion(name, facts, target, scores.argmax(axis=1))
    if name == "average_precision":
        return _average_precision(target == 1, scores[:, 1])
    if facts.kind is Kind.BINARY:
        return _auc(target == 1, scores[:, 1])
    return _one_against_rest(target, scores)


def _mean(values: Floats) -> Formula:
    def mean(weights: Floats) -> Floats:
        found: Floats = weights @ values / weights.sum(axis=1)
        return found

    return mean


def _regression(name: str, target: Floats, values: Floats) -> Formula:
    if name == "mae":
        return _mean(np.abs(target - values))
    squares = (target - values) ** 2
    if name == "rmse":
        mean = _mean(squares)
        return lambda weights: np.sqrt(mean(weights))
    centred = target - target.mean()  # of a target far from zero, the difference below would lose every digit

    def r2(weights: Floats) -> Floats:
        total = weights @ centred**2 - (weights @ centred) ** 2 / weights.sum(axis=1)
        return 1 - _divided(weights @ squares, np.maximum(total, 0.0))

    return r2


def _divided(above: Floats, below: Floats, otherwise: float = np.nan) -> Floats:
    """above / below, `otherwise` where below is zero."""
    ratio: Floats = np.divide(above, below, out=np.full(np.shape(above), otherwise), where=below > 0)
    return ratio


def _confusion(name: str, facts: TaskFacts, target: NDArray[Any], chosen: NDArray[Any]) -> Formula:
    """F1, precision, recall: of class 1 of two, else the mean over the classes that occur or are predicted."""
    classes = np.arange(len(facts.classes))
    is_class = (target[:, None] == classes).astype(np.float64)
    says_class = (chosen[:, None] == classes).astype(np.float64)

    def value(weights: Floats) -> Floats:
        hits, actual, said = weights @ (is_class * says_class), weights @ is_class, weights @ says_class
        below = {"precision": said, "recall": actual, "f1": (said + actual) / 2}[name]
        each = _divided(hits, below, otherwise=0.0)
        if facts.kind is Kind.BINARY:
            second: Floats = each[:, 1]
            return second
        present = (actual + said) > 0
        mean: Floats = (each * present).sum(axis=1) / present.sum(axis=1)
        return mean

    return value


def _auc(positive: NDArray[np.bool_], values: Floats) -> Formula:
    """Probability that a positive row scores above a negative one, ties counting half: ranks in place of a curve."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])  # of each run of equal scores
    is_positive = positive[order].astype(np.float64)

    def value(weights: Floats) -> Floats:
        drawn = weights[:, order]
        up = np.add.reduceat(drawn * is_positive, starts, axis=1)
        down = np.add.reduceat(drawn, starts, axis=1) - up
        below = np.cumsum(down, axis=1) - down / 2
        return _divided((up * below).sum(axis=1), up.sum(axis=1) * down.sum(axis=1))

    return value


def _one_against_rest(target: NDArray[Any], scores: Floats) -> Formula:
    """ROC AUC of each class against the others, weighted by the class's rows."""
    each = [(target == k, _auc(target == k, scores[:, k])) for k in range(scores.shape[1])]

    def value(weights: Floats) -> Floats:
        areas = np.stack([area(weights) for _, area in each])
        sizes = np.stack([weights @ member.astype(np.float64) for member, _ in each])
        known = np.isfinite(areas)
        return _divided(np.where(known, areas * sizes, 0.0).sum(axis=0), (sizes * known).sum(axis=0))

    return value


def _average_precision(positive: NDArray[np.bool_], values: Floats) -> Formula:
    """Mean precision over the steps at which recall grows, thresholds from high to low."""
    order = np.argsort(-values, kind="stable")
    ordered = values[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    is_positive = positive[order].astype(np.float64)

    def value(weights: Floats) -> Floats:
        drawn = weights[:, order]
        up = np.add.reduceat(drawn * is_positive, starts, axis=1)
        said = np.cumsum(np.add.reduceat(drawn, starts, axis=1), axis=1)
        precision = _divided(np.cumsum(up, axis=1), said, otherwise=0.0)
        return _divided((up * precision).sum(axis=1), up.sum(axis=1))

    return value
