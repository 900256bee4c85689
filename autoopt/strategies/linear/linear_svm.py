"""Linear support vector machine."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Final, final

import numpy as np
from numpy.typing import NDArray

from autoopt.strategies.base import real, whole
from autoopt.strategies.linear.artifact import LinearArtifact, Link
from autoopt.strategies.linear.fit import (
    FeatureScale,
    Floats,
    TargetScale,
    is_regression,
    noting_convergence,
    present_classes,
    spread,
)
from autoopt.strategies.model import Model, TableData, Trained, TrainingContext
from autoopt.strategies.tables.plain_features import check_plain, report_quality

_FOLDS: Final = 3
_ABSENT_LOGIT: Final = -200.0  # of a class that train does not hold: its sigmoid is 0 in float32
_TUBE: Final = 0.05  # errors below this share of the target's standard deviation cost nothing


@final
@dataclass(frozen=True, kw_only=True)
class LinearSVM(Model):
    """A linear support vector machine, one class against the rest; for values, support vector regression.

    When it helps: few rows and many features, outliers (values are fitted by absolute error). Probabilities come from
    Platt's scaling of decision values that three-fold cross-validation gave, so that they are not overconfident.
    Cost: four fits; no interactions. Latency and size as `linear`.
    Features far from magnitude 1 are standardised inside, and so is a value target. Missing values are refused: use an
    impute that fills them.
    Reference: Cortes and Vapnik 1995; Platt 1999; Fan et al., LIBLINEAR, JMLR 9 (2008).
    """

    name: ClassVar[str] = "linear_svm"
    artifact_kind: ClassVar[str] = "linear"

    C: float = real(0.1, low=1e-6, high=1e4, log=True, help="weight of the errors against the margin's width")
    max_iterations: int = whole(500, low=10, high=10000, log=True, help="iterations of the solver at most")

    def train(self, data: TableData, context: TrainingContext) -> Trained:
        """Fit. Raises StageFailure for features that it cannot take, or one class alone."""
        check_plain(data, self.name, missing=False)
        context.report(0, {})
        trained = self._values(data, context) if is_regression(data) else self._classes(data, context)
        report_quality(context.report, _FOLDS + 1, data, trained.valid_scores)
        return trained

    def _classes(self, data: TableData, context: TrainingContext) -> Trained:
        present, target = present_classes(data, self.name)
        scale, columns, notes = FeatureScale.of(data.train.numbers), len(data.facts.classes), list[str]()
        numbers = scale.scaled(data.train.numbers)
        with noting_convergence(notes, self.name):
            solver = self._machine(context.seed).fit(numbers, target)
            decisions = _decisions_of_others(lambda: self._machine(context.seed), numbers, target, context)
            slope, offset = _platt(decisions, target)
        coef, intercept = solver.coef_.T * slope, solver.intercept_ * slope + offset
        if columns > 2:
            if coef.shape[1] == 1:
                coef, intercept = np.concatenate([-coef, coef], axis=1), np.concatenate([-intercept, intercept])
            coef, intercept = spread(coef, present, columns, 0.0), spread(intercept, present, columns, _ABSENT_LOGIT)
        margins = scale.scaled(data.valid.numbers) @ coef + intercept
        coef, intercept = scale.folded(coef, intercept)
        link: Link = "sigmoid_normalized" if columns > 2 else "sigmoid"
        artifact = LinearArtifact(coef=coef, intercept=intercept, centre=scale.centre, link=link)
        return Trained(artifact=artifact, valid_scores=_probabilities(margins), notes=tuple(notes))

    def _machine(self, seed: int) -> Any:
        from sklearn.svm import LinearSVC  # slow to import

        return LinearSVC(C=self.C, dual="auto", max_iter=self.max_iterations, random_state=seed)

    def _values(self, data: TableData, context: TrainingContext) -> Trained:
        from sklearn.svm import LinearSVR  # slow to import

        scale, target, notes = FeatureScale.of(data.train.numbers), TargetScale.of(data.train_target), list[str]()
        solver = LinearSVR(C=self.C, epsilon=_TUBE, max_iter=self.max_iterations, random_state=context.seed)
        with noting_convergence(notes, self.name):
            solver.fit(scale.scaled(data.train.numbers), target.scaled(data.train_target))
        scores = target.restored(solver.predict(scale.scaled(data.valid.numbers)))[:, None]
        intercept = np.asarray(solver.intercept_, dtype=np.float64).reshape(1) * target.unit + target.mean
        coef, intercept = scale.folded(solver.coef_.reshape(-1, 1) * target.unit, intercept)
        artifact = LinearArtifact(coef=coef, intercept=intercept, centre=scale.centre, link="identity")
        return Trained(artifact=artifact, valid_scores=scores, notes=tuple(notes))


def _decisions_of_others(
    machine: Callable[[], Any], numbers: Floats, target: NDArray[np.int64], context: TrainingContext
) -> Floats:
    """(rows, outputs): each row's decision values by a machine that has not seen it; of a class of one row, its own."""
    from sklearn.model_selection import StratifiedKFold  # slow to import

    folds = min(_FOLDS, int(np.bincount(target).min()))
    if folds < 2:
        return _two_dimensional(machine().fit(numbers, target).decision_function(numbers))
    decisions: Floats | None = None
    splits = StratifiedKFold(folds, shuffle=True, random_state=context.seed).split(numbers, target)
    for step, (seen, unseen) in enumerate(splits, start=1):
        found = _two_dimensional(machine().fit(numbers[seen], target[seen]).decision_function(numbers[unseen]))
        decisions = np.zeros((len(numbers), found.shape[1])) if decisions is None else decisions
        decisions[unseen] = found
        context.report(step, {})
    return np.zeros((0, 1)) if decisions is None else decisions


def _two_dimensional(values: NDArray[Any]) -> Floats:
    return np.asarray(values, dtype=np.float64).reshape(len(values), -1)


def _platt(decisions: Floats, target: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """(slope, offset) of each output's logit, fitted to decision values with Platt's smoothed targets."""
    from sklearn.linear_model import LogisticRegression  # slow to import

    slopes, offsets = [], []
    for output in range(decisions.shape[1]):
        positive = target == (1 if decisions.shape[1] == 1 else output)
        unit = float(np.std(decisions[:, output])) or 1.0
        column = decisions[:, [output]] / unit
        above, below = np.count_nonzero(positive), np.count_nonzero(~positive)
        hope = np.where(positive, (above + 1) / (above + 2), 1 / (below + 2))  # a row counts for both, by this share
        fit = LogisticRegression(C=1e6, solver="newton-cholesky", tol=1e-8).fit(
            np.concatenate([column, column]),
            np.repeat([1, 0], len(column)),
            sample_weight=np.concatenate([hope, 1 - hope]),
        )
        slopes.append(fit.coef_[0, 0] / unit)
        offsets.append(fit.intercept_[0])
    return np.array(slopes), np.array(offsets)


def _probabilities(margins: Floats) -> Floats:
    """(rows, outputs) logits → (rows, columns): two columns of one output, else sigmoids divided by their sum."""
    with np.errstate(over="ignore"):
        if margins.shape[1] == 1:
            return np.asarray(1 / (1 + np.exp(np.concatenate([margins, -margins], axis=1))))
        each = 1 / (1 + np.exp(-margins)) + 1e-30
        return np.asarray(each / each.sum(axis=1, keepdims=True))
