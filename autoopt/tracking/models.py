"""Logs a bundle as a model of its study's run, registers it, loads it back and compares."""

import contextlib
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, final

import mlflow
import numpy as np
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import LoggedModelStatus, Metric
from mlflow.exceptions import MlflowException
from mlflow.types import DataType
from numpy.typing import NDArray

from autoopt.errors import AutooptError

UID_TAG: Final = "autoopt.uid"
AUGMENTED: Final = "augmented.png"
"""Of a bundle for images: some of them, and what augmentation made of them."""
PARITY_TAG: Final = "autoopt.reload_parity"
PARITY_TOLERANCE: Final = 1e-6


@final
class ModelDelivery:
    """Registers bundles under one study's run. Each step is looked up before it is done, so that none is done twice.

    `scratch`: a folder for the copy that is loaded back (MLflow would add a file of its own to the stored one).
    """

    def __init__(self, client: MlflowClient, experiment: str, run_id: str, *, scratch: Path) -> None:
        self._client = client
        self._experiment = experiment
        self._run_id = run_id
        self._scratch = scratch

    def deliver(self, payload: dict[str, Any], metrics: Sequence[Metric]) -> str:
        """Log, register and reload; the alias moves once the reloaded model has proved equal.

        Returns 'ok' or how the reloaded model differs.
        """
        name = payload["registered_name"]
        picture = Path(payload["bundle"]) / AUGMENTED
        if picture.is_file():
            self._client.log_artifact(self._run_id, str(picture))
        version = self._version(payload) or self._register(payload, metrics)
        parity = self._reload_parity(f"models:/{name}/{version}", Path(payload["bundle"]))
        self._client.set_model_version_tag(name, version, PARITY_TAG, parity)
        if parity == "ok":
            self._client.set_registered_model_alias(name, payload["alias"], version)
        return parity

    def _version(self, payload: dict[str, Any]) -> str | None:
        """The version that an earlier delivery of this payload made."""
        query = f"name = '{payload['registered_name']}' AND tag.`{UID_TAG}` = '{payload['uid']}'"
        found = self._client.search_model_versions(query)
        return str(found[0].version) if found else None

    def _register(self, payload: dict[str, Any], metrics: Sequence[Metric]) -> str:
        name, uid = payload["registered_name"], payload["uid"]
        model_id, uri = self._logged_model(payload)
        ours = [Metric(m.key, m.value, m.timestamp, m.step, model_id=model_id) for m in metrics]
        self._client.log_batch(self._run_id, metrics=ours)
        with contextlib.suppress(MlflowException):  # it is there already; if it is not, the next call says why
            self._client.create_registered_model(name)
        made = self._client.create_model_version(
            name, source=uri, run_id=self._run_id, model_id=model_id, tags={UID_TAG: uid}
        )
        return str(made.version)

    def _logged_model(self, payload: dict[str, Any]) -> tuple[str, str]:
        """Id and URI of the bundle's copy in MLflow, as it is: it is a complete model folder, and its hashes hold."""
        query = f"tags.`{UID_TAG}` = '{payload['uid']}'"
        found = self._client.search_logged_models([self._experiment], query)
        model = found[0] if found else self._new_model(payload)
        if model.status != LoggedModelStatus.READY:
            self._client.log_model_artifacts(model.model_id, payload["bundle"])
            self._client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
        return str(model.model_id), str(model.model_uri)

    def _new_model(self, payload: dict[str, Any]) -> Any:
        return self._client.create_logged_model(
            self._experiment,
            name="pipeline",
            source_run_id=self._run_id,
            tags={UID_TAG: payload["uid"]},
            model_type="autoopt bundle",
        )

    def _reload_parity(self, model_uri: str, bundle: Path) -> str:
        """Compare the registry's copy with the scores that the bundle recorded when it was made."""
        sample = json.loads((bundle / "sample.json").read_text(encoding="utf-8"))
        chosen = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))["chosen"]
        try:
            self._scratch.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix="reload-", dir=self._scratch) as folder:
                model = mlflow.pyfunc.load_model(model_uri, suppress_warnings=True, dst_path=folder)
                predicted = model.predict(_inputs(sample["columns"], model.metadata.get_input_schema()))
        except (MlflowException, AutooptError) as error:
            return f"not reloaded: {error}"
        probabilities = [c for c in predicted.columns if str(c).startswith(("probability_", "score_"))]
        scores = predicted[probabilities or ["prediction"]].to_numpy(dtype=float)
        expected = np.asarray(sample[chosen], dtype=float).reshape(scores.shape)
        difference = float(np.abs(scores - expected).max())
        return "ok" if difference <= PARITY_TOLERANCE else f"reloaded model differs by {difference:.3g}"


def _inputs(columns: dict[str, list[Any]], schema: Any) -> pd.DataFrame | dict[str, NDArray[Any]]:
    """Rows in the signature's types: a column of nothing but missing numbers is still one of numbers."""
    if schema.is_tensor_spec():
        return {tensor.name: np.array(columns[tensor.name], dtype=tensor.type) for tensor in schema}
    texts = {c.name for c in schema if c.type == DataType.string}
    texts |= {name for name, values in columns.items() if any(isinstance(v, str) for v in values)}  # images
    return pd.DataFrame({n: pd.Series(v, dtype="object" if n in texts else "float64") for n, v in columns.items()})
