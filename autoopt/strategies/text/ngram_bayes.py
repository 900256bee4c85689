"""Logistic regression on n-gram counts that naive Bayes has weighted."""

from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
from numpy.typing import NDArray

from autoopt.strategies.base import real, whole
from autoopt.strategies.linear.fit import Floats, noting_convergence, present_classes, spread
from autoopt.strategies.model import Model, Trained, TrainingContext, TrainingData
from autoopt.strategies.prepared import Counts
from autoopt.strategies.tables.plain_features import report_quality
from autoopt.strategies.text.ngram_linear import SOLVER, TOLERANCE, wide, wide_linear
from autoopt.task.facts import Modality, TaskFacts
from autoopt.values import Slot

_ABSENT_LOGIT = -200.0  # of a class that train does not hold: its sigmoid is 0 in float32
_LEAST = 1e-30  # as in the graph: where all sigmoids underflow to 0, the classes come out equal


@final
@dataclass(frozen=True, kw_only=True)
class NGramBayes(Model):
    """Each class against the rest: logistic regression on counts times naive Bayes' log-count ratio of that class.

    When it helps: short texts, moods, few rows; often a little better than `ngram_linear` there. Classes only. Cost:
    one fit for each class; the file is as large as `ngram_linear`'s. Missing texts are rows of zeros.
    C is the inverse strength of the penalty: small is strong. `smoothing` is added to each count, as by naive Bayes;
    counts of rows of length 1 are far below 1, and so should it be.
    Reference: Wang & Manning 2012, "Baselines and Bigrams: Simple, Good Sentiment and Topic Classification" (NBSVM).
    """

    name: ClassVar[str] = "ngram_bayes"
    modalities: ClassVar[tuple[Modality, ...]] = (Modality.TEXT,)
    counts_ngrams: ClassVar[bool] = True
    artifact_kind: ClassVar[str] = "wide_linear"

    C: float = real(1.0, low=1e-3, high=1e3, log=True, help="inverse strength of the penalty")
    smoothing: float = real(0.1, low=0.001, high=10.0, log=True, help="what is added to each n-gram's count")
    max_iterations: int = whole(200, low=10, high=5000, log=True, help="iterations of the solver at most")

    @classmethod
    def applies(cls, task: TaskFacts, slot: Slot) -> str | None:
        return super().applies(task, slot) or (None if task.kind.classifies else "it tells classes apart only")

    def train(self, data: TrainingData[Counts], context: TrainingContext) -> Trained:
        """Fit. Raises StageFailure for one class alone."""
        context.report(0, {})
        present, target = present_classes(data, self.name)
        counts, columns, notes = wide(data.train), len(data.facts.classes), list[str]()
        coefs: list[Floats] = []
        offsets: list[float] = []
        for step, k in enumerate([1] if columns == 2 else range(len(present)), start=1):
            with noting_convergence(notes, self.name):
                one_coef, offset = self._against_rest(counts, target == k)
            coefs.append(one_coef)
            offsets.append(offset)
            context.report(step, {})
        coef, intercept = np.stack(coefs, axis=1), np.array(offsets)
        if columns > 2:
            coef, intercept = spread(coef, present, columns, 0.0), spread(intercept, present, columns, _ABSENT_LOGIT)
        scores = _probabilities(np.asarray(wide(data.valid) @ coef + intercept))
        report_quality(context.report, columns + 1, data, scores)
        artifact = wide_linear(coef, intercept, "sigmoid" if columns == 2 else "sigmoid_normalized")
        return Trained(artifact=artifact, valid_scores=scores, notes=tuple(notes))

    def _against_rest(self, counts: Any, positive: NDArray[np.bool_]) -> tuple[Floats, float]:
        """Coefficients (n-grams,) and intercept of one class against all others."""
        from sklearn.linear_model import LogisticRegression  # slow to import

        of, others = (np.asarray(counts[rows].sum(axis=0)).ravel() + self.smoothing for rows in (positive, ~positive))
        ratio = np.log(of / of.sum()) - np.log(others / others.sum())
        solver = LogisticRegression(C=self.C, solver=SOLVER, tol=TOLERANCE, max_iter=self.max_iterations)
        solver.fit(counts.multiply(ratio[None, :]).tocsr(), positive)
        return solver.coef_[0] * ratio, float(solver.intercept_[0])


def _probabilities(margins: Floats) -> Floats:
    """(rows, outputs) logits → (rows, columns): two columns of one output, else sigmoids divided by their sum."""
    with np.errstate(over="ignore"):
        if margins.shape[1] == 1:
            return np.asarray(1 / (1 + np.exp(np.concatenate([margins, -margins], axis=1))))
        each = 1 / (1 + np.exp(-margins)) + _LEAST
        return np.asarray(each / each.sum(axis=1, keepdims=True))
