"""A bundle as an MLflow model: `loader_module: autoopt.runtime.pyfunc`, `data` the bundle's folder."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from autoopt.runtime.predictor import Predictor

if TYPE_CHECKING:
    import pandas as pd


@final
class BundleModel:
    """What MLflow calls: perhaps a server, for whoever reaches it."""

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor

    def predict(self, model_input: Any, params: dict[str, Any] | None = None) -> "pd.DataFrame":
        """A DataFrame of raw columns → a DataFrame with `prediction`, and `probability_<class>` for classifiers.

        Images come as bytes, 'data:image/...' texts or arrays. Raises DataError for a path, as for all that does not
        fit: what reads the files that a client names would tell which there are, and what is in them.
        """
        import pandas as pd  # the runtime itself does without: MLflow brings it

        front = self.predictor.front
        scores = self.predictor.scores_of_feed(front.feed(model_input, opens_files=False))
        found: dict[str, Any] = {"prediction": front.labels(scores)}
        found |= {name: scores[:, i] for i, name in enumerate(front.score_columns)}
        return pd.DataFrame(found, index=model_input.index if isinstance(model_input, pd.DataFrame) else None)


def _load_pyfunc(path: str) -> BundleModel:
    """MLflow's hook. Raises BundleError when the folder is no bundle."""
    return BundleModel(Predictor.load(Path(path)))
