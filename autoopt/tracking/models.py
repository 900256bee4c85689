"""Logs a bundle as a model of its study's run, registers it, loads it back and compares."""

import contextlib
import json
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

UID_TAG = "autoopt.uid"
PARITY_TOLERANCE = 1e-6


def log_model(client: MlflowClient, experiment: str, run_id: str, payload: dict[str, Any]) -> str:
    """Log, register, alias and reload; returns 'ok' or how the reloaded model differs.

    The bundle is a complete MLflow model folder: it is stored as it is, so its hashes hold there too.
    """
    name, uid = payload["registered_name"], payload["uid"]
    version = _version_of(client, name, uid)
    if version is None:
        model = client.create_logged_model(
            experiment, name="pipeline", source_run_id=run_id, tags={UID_TAG: uid}, model_type="autoopt bundle"
        )
        client.log_model_artifacts(model.model_id, payload["bundle"])
        client.finalize_logged_model(model.model_id, "READY")
        with contextlib.suppress(MlflowException):  # it is there already
            client.create_registered_model(name)
        made = client.create_model_version(
            name, source=model.model_uri, run_id=run_id, model_id=model.model_id, tags={UID_TAG: uid}
        )
        version = str(made.version)
    client.set_registered_model_alias(name, payload["alias"], version)
    return _reload_parity(f"models:/{name}@{payload['alias']}", Path(payload["bundle"]))


def _version_of(client: MlflowClient, name: str, uid: str) -> str | None:
    """The version that an earlier delivery of this payload made."""
    try:
        found = client.search_model_versions(f"name = '{name}'")
    except MlflowException:
        return None
    return next((str(v.version) for v in found if v.tags.get(UID_TAG) == uid), None)


def _reload_parity(model_uri: str, bundle: Path) -> str:
    """Compare the registry's copy with the scores that the bundle recorded when it was made."""
    sample = json.loads((bundle / "sample.json").read_text())
    chosen = json.loads((bundle / "manifest.json").read_text())["chosen"]
    predicted = mlflow.pyfunc.load_model(model_uri).predict(pd.DataFrame(sample["columns"]))
    expected = np.asarray(sample[chosen], dtype=float)
    probabilities = [c for c in predicted.columns if str(c).startswith("probability_")]
    scores = predicted[probabilities or ["prediction"]].to_numpy(dtype=float)
    difference = float(np.abs(scores - expected).max())
    return "ok" if difference <= PARITY_TOLERANCE else f"reloaded model differs by {difference:.3g}"
