"""Fewer features: project them onto the directions that hold most of their spread."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, final

import numpy as np
from numpy.typing import NDArray

from autoopt.space.domains import Value
from autoopt.strategies.base import Stage, Strategy, choice, real
from autoopt.strategies.graph import GraphBuilder
from autoopt.task.facts import TaskFacts
from autoopt.values import Slot

if TYPE_CHECKING:
    from sklearn.decomposition import PCA, TruncatedSVD

_FEWEST_COLUMNS = 4
_MOST_ROWS = 20_000  # directions hardly move with more, time and memory do


@final
@dataclass(frozen=True, kw_only=True)
class Reduce(Strategy):
    """Whether the features are projected onto fewer, and how.

    What: `pca` centres the features and keeps the directions of largest variance; `truncated_svd` does so without
    centring. `share` is the share of features kept, at least one. It works on the dense features, after encoding;
    codes for embeddings are left alone. The directions are found on at most 20,000 rows, drawn by the seed. A gap
    that `impute: native` left counts as the feature's mean.
    Helps: many correlated numbers (pixels, sensors, one-hot columns): smaller networks and linear models, less noise.
    Trees usually lose by it. Scale first: without it the largest unit decides.
    Ranges: share 0.1..1.0 (of the number of features). Units: none.
    Reference: Jolliffe, Principal Component Analysis; Halko et al. 2011 (randomized SVD), arXiv:0909.4061.
    """

    name: ClassVar[str] = "reduce"
    stage: ClassVar[Stage] = "prepare"
    field_when: ClassVar[Mapping[str, Mapping[str, tuple[Value, ...]]]] = {
        "share": {"reduce": ("pca", "truncated_svd")}
    }

    reduce: str = choice("none", "pca", "truncated_svd", main=True, help="projection onto fewer features")
    share: float = real(0.5, low=0.1, high=1.0, help="share of the features that is kept")

    @classmethod
    def applies(cls, task: TaskFacts, slot: Slot) -> str | None:
        count = len(task.number_columns) + len(task.category_columns)
        return None if count >= _FEWEST_COLUMNS else f"the data have {count} columns, too few to project"


@final
@dataclass(frozen=True, kw_only=True)
class Reduction:
    """A fitted projection of n features onto r."""

    projector: "PCA | TruncatedSVD"
    fill: NDArray[np.float64]  # (n,) stands in for NaN
    holes: bool  # whether NaN can come in at all

    @property
    def count(self) -> int:
        """How many features are kept: r."""
        return int(self.projector.components_.shape[0])

    def reference(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Projected features (rows, r), by scikit-learn, in double inside."""
        filled = _filled(features, self.fill)
        return np.asarray(self.projector.transform(filled), dtype=np.float64).astype(np.float32)

    def emit(self, graph: GraphBuilder, features: str) -> str:
        """Name of the projected features, float32 (rows, r). In double: large features would cancel in float32."""
        wide = graph.add("Cast", features, to=11)
        if self.holes:
            wide = graph.add("Where", graph.add("IsNaN", wide), graph.constant(self.fill[None, :], name="means"), wide)
        center = getattr(self.projector, "mean_", None)  # truncated SVD has none
        if center is not None:
            wide = graph.add("Sub", wide, graph.constant(center[None, :], np.float64, name="means"))
        directions = np.ascontiguousarray(self.projector.components_.T)
        projected = graph.add("MatMul", wide, graph.constant(directions, np.float64, name="directions"))
        return graph.add("Cast", projected, to=1)


def fit_reduce(config: Reduce, features: NDArray[np.float32], *, holes: bool, seed: int) -> Reduction | None:
    """Fit on the training features (rows, n); None for `none` and for a single feature. `holes`: NaN may be there."""
    if config.reduce == "none" or features.shape[1] < 2:
        return None
    from sklearn.decomposition import PCA, TruncatedSVD  # here: the catalogue is read by processes that fit nothing

    if len(features) > _MOST_ROWS:
        features = features[np.random.default_rng(seed).permutation(len(features))[:_MOST_ROWS]]
    present = ~np.isnan(features)
    sums = np.where(present, features, 0.0).sum(axis=0, dtype=np.float64)
    fill = sums / np.maximum(present.sum(axis=0), 1)
    filled = _filled(features, fill)
    rows, count = filled.shape
    kept = max(1, round(config.share * count))
    with np.errstate(divide="ignore", invalid="ignore"):  # shares of a variance that is 0
        if config.reduce == "pca":
            projector = PCA(n_components=min(kept, rows), random_state=seed).fit(filled)
        else:
            projector = TruncatedSVD(n_components=min(kept, rows), random_state=seed).fit(filled)
    return Reduction(projector=projector, fill=fill, holes=holes)


def _filled(features: NDArray[np.float32], fill: NDArray[np.float64]) -> NDArray[np.float64]:
    wide = features.astype(np.float64)
    return np.where(np.isnan(wide), fill, wide)
