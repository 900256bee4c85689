"""Writes payloads to MLflow so that the same payload twice leaves the same state: runs are found by their uid tag."""

import contextlib
import json
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import requests
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException, RestException

from autoopt.tracking.models import log_model

UID_TAG = "autoopt.uid"
METRICS_A_CALL = 900
PARAMS_A_CALL = 90
MAX_PARAM, MAX_TAG, MAX_KEY = 6000, 5000, 250
PASSING = {"INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED"}


class Refused(Exception):
    """MLflow will not take this payload."""


class Unreachable(Exception):
    """MLflow cannot be reached or written just now."""


def cut(text: str, most: int) -> str:
    """The text, marked where it had to be cut."""
    return text if len(text) <= most else text[: most - 2] + " …"


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """MLflow's and HTTP's errors as one of our two."""
    try:
        yield
    except RestException as error:
        raise (Unreachable if error.error_code in PASSING else Refused)(str(error)) from error
    except MlflowException as error:
        refused = error.error_code in {"INVALID_PARAMETER_VALUE", "BAD_REQUEST"}
        raise (Refused if refused else Unreachable)(str(error)) from error
    except (requests.RequestException, OSError) as error:
        raise Unreachable(str(error)) from error


class Delivery:
    """One client on one tracking URI."""

    def __init__(self, tracking_uri: str, artifact_folder: Path) -> None:
        warnings.simplefilter("ignore")
        self._uri = tracking_uri
        self._artifact_folder = artifact_folder
        self._client: MlflowClient | None = None
        self._experiments: dict[str, str] = {}
        self._runs: dict[str, str] = {}

    def deliver(self, payload: dict[str, Any]) -> None:
        """Write one payload. Raises Refused or Unreachable."""
        with _translated():
            if self._client is None:
                self._client = self._connect()
            if payload["kind"] == "model":
                self._deliver_model(self._client, payload)
            else:
                self._deliver_run(self._client, payload)

    def _connect(self) -> MlflowClient:
        if self._uri.startswith("sqlite:///"):
            Path(self._uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
        return MlflowClient(tracking_uri=self._uri, registry_uri=self._uri)

    def _experiment(self, client: MlflowClient, name: str) -> str:
        if name not in self._experiments:
            found = client.get_experiment_by_name(name)
            if found is not None and found.lifecycle_stage == "deleted":
                client.restore_experiment(found.experiment_id)
            local = not self._uri.startswith("http")
            location = (self._artifact_folder / name).absolute().as_uri() if local else None
            created = None if found else client.create_experiment(name, artifact_location=location)
            self._experiments[name] = found.experiment_id if found else str(created)
        return self._experiments[name]

    def _run(self, client: MlflowClient, experiment: str, payload: dict[str, Any]) -> str:
        """The run with this uid, made if there is none yet."""
        uid = payload["uid"]
        if uid not in self._runs:
            quoted = uid.replace("'", "")
            found = client.search_runs([experiment], f"tags.`{UID_TAG}` = '{quoted}'", max_results=1)
            if found:
                self._runs[uid] = found[0].info.run_id
            else:
                tags = {UID_TAG: quoted}
                if "parent_uid" in payload:
                    tags["mlflow.parentRunId"] = self._parent(client, experiment, payload["parent_uid"])
                name = cut(payload["run_name"], MAX_KEY)
                run = client.create_run(experiment, start_time=payload["start_ms"], tags=tags, run_name=name)
                self._runs[uid] = run.info.run_id
        return self._runs[uid]

    def _parent(self, client: MlflowClient, experiment: str, uid: str) -> str:
        stub = {"uid": uid, "run_name": uid.split("@")[0], "start_ms": None}
        return self._run(client, experiment, stub)

    def _deliver_run(self, client: MlflowClient, payload: dict[str, Any]) -> None:
        experiment = self._experiment(client, payload["experiment"])
        run_id = self._run(client, experiment, payload)
        params = [Param(cut(k, MAX_KEY), cut(str(v), MAX_PARAM)) for k, v in payload["params"].items()]
        tags = [RunTag(cut(k, MAX_KEY), cut(str(v), MAX_TAG)) for k, v in payload["tags"].items()]
        metrics = [Metric(m["key"], m["value"], m["timestamp_ms"], m["step"]) for m in payload["metrics"]]
        for part in chunks(params, PARAMS_A_CALL):
            client.log_batch(run_id, params=part)
        client.log_batch(run_id, tags=tags[:PARAMS_A_CALL], metrics=metrics[:METRICS_A_CALL])
        for part in chunks(metrics[METRICS_A_CALL:], METRICS_A_CALL):
            client.log_batch(run_id, metrics=part)
        if payload["status"] == "RUNNING":
            client.update_run(run_id, status="RUNNING")
        else:
            client.set_terminated(run_id, status=payload["status"], end_time=payload["end_ms"])

    def _deliver_model(self, client: MlflowClient, payload: dict[str, Any]) -> None:
        experiment = self._experiment(client, payload["experiment"])
        parent = self._parent(client, experiment, payload["parent_uid"])
        metrics = [Metric(m["key"], m["value"], m["timestamp_ms"], m["step"]) for m in payload["metrics"]]
        client.log_batch(parent, metrics=metrics)
        bundle = Path(payload["bundle"])
        if not (bundle / "manifest.json").is_file():
            raise Refused(f"the bundle {bundle} is gone")
        parity = log_model(client, experiment, parent, payload)
        client.set_tag(parent, "autoopt.reload_parity", parity)
        client.set_tag(parent, "autoopt.exported", json.dumps({"trial": payload["trial"], "bundle": str(bundle)}))


def chunks(items: Sequence[Any], size: int) -> Iterator[list[Any]]:
    """Slices of at most `size`."""
    for start in range(0, len(items), size):
        yield list(items[start : start + size])
