"""Linear and logistic regression."""

from dataclasses import dataclass
from typing import Any, ClassVar, Final, final

import numpy as np

from autoopt.strategies.base import choice, real, whole
from autoopt.strategies.linear.artifact import LinearArtifact, Link
from autoopt.strategies.linear.fit import (
    ABSENT_LOGIT,
    FeatureScale,
    TargetScale,
    is_regression,
    noting_convergence,
    present_classes,
    spread,
)
from autoopt.strategies.model import Model, TableData, Trained, TrainingContext
from autoopt.strategies.tables.plain_features import check_plain, report_quality

_L1_SHARES: Final = {"l2": 0.0, "l1": 1.0, "elasticnet": 0.5}
_NEWTON_SIZE: Final = 300  # coefficients up to which the Hessian of Newton's method is cheap
_SAGA_WORK: Final = 3e8  # multiply-adds that the stochastic solver may spend: seconds, not minutes


@final
@dataclass(frozen=True, kw_only=True)
class Linear(Model):
    """Logistic regression for classes; ridge, lasso or elastic net for values.

    When it helps: wide one-hot data, few rows, or a limit of microseconds and a few kilobytes; well calibrated.
    Cost: no interactions, so that trees win where there are some.
    Features far from magnitude 1 are standardised inside, and the scale is folded into the coefficients; a value target
    likewise. Missing values are refused: use an impute that fills them.
    C is the inverse strength of the penalty: small is strong. l1 and elasticnet (half l1) leave few coefficients; for
    classes they take a slower solver.
    Reference: Hastie, Tibshirani, Friedman, The Elements of Statistical Learning, ch. 3-4; scikit-learn's linear_model.
    """

    name: ClassVar[str] = "linear"
    artifact_kind: ClassVar[str] = "linear"

    C: float = real(1.0, low=1e-6, high=1e6, log=True, help="inverse strength of the penalty")
    penalty: str = choice("l2", "l1", "elasticnet", help="what is penalised: squares, magnitudes, or half of each")
    max_iterations: int = whole(300, low=10, high=10000, log=True, help="iterations of the solver at most")

    def train(self, data: TableData, context: TrainingContext) -> Trained:
        """Fit. Raises StageFailure for features that it cannot take, or one class alone."""
        check_plain(data, self.name, missing=False)
        context.report(0, {})
        trained = self._values(data, context) if is_regression(data) else self._classes(data, context)
        report_quality(context.report, 1, data, trained.valid_scores)
        return trained

    def _classes(self, data: TableData, context: TrainingContext) -> Trained:
        present, target = present_classes(data, self.name)
        scale, columns, notes = FeatureScale.of(data.train.numbers), len(data.facts.classes), list[str]()
        solver = self._solver(data.train.rows, data.train.numbers.shape[1], len(present), context.seed)
        with noting_convergence(notes, self.name):
            solver.fit(scale.scaled(data.train.numbers), target)
        scores = spread(solver.predict_proba(scale.scaled(data.valid.numbers)), present, columns, 0.0)
        coef, intercept = scale.folded(solver.coef_.T, solver.intercept_)
        if columns > 2:
            if coef.shape[1] == 1:  # two of the classes are in train: a margin for the second against 0 for the first
                coef, intercept = np.concatenate([0 * coef, coef], axis=1), np.concatenate([0 * intercept, intercept])
            coef, intercept = spread(coef, present, columns, 0.0), spread(intercept, present, columns, ABSENT_LOGIT)
        link: Link = "softmax" if columns > 2 else "sigmoid"
        artifact = LinearArtifact(coef=coef, intercept=intercept, centre=scale.centre, link=link)
        return Trained(artifact=artifact, valid_scores=scores, notes=tuple(notes))

    def _solver(self, rows: int, features: int, classes: int, seed: int) -> Any:
        from sklearn.linear_model import LogisticRegression  # slow to import

        size = features * (1 if classes == 2 else classes)
        if self.penalty == "l2":
            solver = "newton-cholesky" if size <= _NEWTON_SIZE and rows >= 10 * features else "lbfgs"
            return LogisticRegression(C=self.C, solver=solver, max_iter=self.max_iterations)
        iterations = int(min(self.max_iterations, max(10, _SAGA_WORK / (rows * size))))
        share = _L1_SHARES[self.penalty]
        return LogisticRegression(
            C=self.C, l1_ratio=share, solver="saga", tol=1e-3, max_iter=iterations, random_state=seed
        )

    def _values(self, data: TableData, context: TrainingContext) -> Trained:
        from sklearn.linear_model import ElasticNet, Ridge  # slow to import

        scale, target, notes = FeatureScale.of(data.train.numbers), TargetScale.of(data.train_target), list[str]()
        solver: Any = Ridge(alpha=1 / self.C)
        if self.penalty != "l2":
            strength = 1 / (self.C * data.train.rows)  # ElasticNet divides the loss by the rows, Ridge does not
            share = _L1_SHARES[self.penalty]
            solver = ElasticNet(alpha=strength, l1_ratio=share, max_iter=self.max_iterations, random_state=context.seed)
        with noting_convergence(notes, self.name):
            solver.fit(scale.scaled(data.train.numbers), target.scaled(data.train_target))
        scores = target.restored(solver.predict(scale.scaled(data.valid.numbers)))[:, None]
        coef = solver.coef_.reshape(-1, 1) * target.unit
        intercept = np.array([float(solver.intercept_) * target.unit + target.mean])
        coef, intercept = scale.folded(coef, intercept)
        artifact = LinearArtifact(coef=coef, intercept=intercept, centre=scale.centre, link="identity")
        return Trained(artifact=artifact, valid_scores=scores, notes=tuple(notes))
