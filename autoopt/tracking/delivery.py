"""Writes payloads to MLflow so that the same payload twice leaves the same state: runs are found by their uid tag."""

import contextlib
import json
import sys
import warnings
from collections.abc import Iterator
from datetime import datetime
from itertools import zip_longest
from pathlib import Path
from typing import Any, Final, final

import requests
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException

from autoopt.tracking.backlog import Refused, Unreachable
from autoopt.tracking.database import ensure_database
from autoopt.tracking.models import ModelDelivery
from autoopt.tracking.wording import (
    MAX_KEY,
    MAX_PARAM,
    MAX_TAG,
    METRICS_A_CALL,
    PARAMS_A_CALL,
    TAGS_A_CALL,
    chunks,
    cut,
    safe_keys,
)

UID_TAG: Final = "autoopt.uid"
REFUSED: Final = "INVALID_PARAMETER_VALUE"
"""The one code that speaks of the payload; every other may pass, or be mended by whoever runs the server."""


@final
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
        try:
            with _translated():
                client = self._client = self._client or self._connect()
                if payload["kind"] == "model":
                    self._deliver_model(client, payload)
                else:
                    self._deliver_run(client, payload)
        except (Refused, Unreachable):
            # What was remembered may be what is wrong: somebody deleted a run, an experiment, the database.
            self._experiments.clear()
            self._runs.clear()
            raise

    def _connect(self) -> MlflowClient:
        try:
            ensure_database(self._uri, self._artifact_folder)
            return MlflowClient(tracking_uri=self._uri, registry_uri=self._uri)
        except MlflowException as error:
            # An outdated database, a URI of no known kind: no payload's fault.
            raise Unreachable(str(error)) from error

    def _experiment(self, client: MlflowClient, name: str) -> str:
        if name not in self._experiments:
            found = client.get_experiment_by_name(name)
            if found is not None and found.lifecycle_stage == "deleted":
                client.restore_experiment(found.experiment_id)
            remote = self._uri.startswith("http")
            location = None if remote else (self._artifact_folder / name).absolute().as_uri()
            created = None if found else client.create_experiment(name, artifact_location=location)
            self._experiments[name] = found.experiment_id if found else str(created)
        return self._experiments[name]

    def _run(self, client: MlflowClient, experiment: str, payload: dict[str, Any]) -> str:
        """The run with this uid, made if there is none yet."""
        uid = payload["uid"]
        if uid not in self._runs:
            found = client.search_runs([experiment], f"tags.`{UID_TAG}` = '{_quotable(uid)}'", max_results=1)
            self._runs[uid] = found[0].info.run_id if found else self._new_run(client, experiment, payload)
        return self._runs[uid]

    def _new_run(self, client: MlflowClient, experiment: str, payload: dict[str, Any]) -> str:
        tags = {UID_TAG: _quotable(payload["uid"])}
        if "parent_uid" in payload:
            tags["mlflow.parentRunId"] = self._parent(client, experiment, payload["parent_uid"])
        name = cut(payload["run_name"], MAX_KEY)
        run = client.create_run(experiment, start_time=payload["start_ms"], tags=tags, run_name=name)
        return str(run.info.run_id)

    def _parent(self, client: MlflowClient, experiment: str, uid: str) -> str:
        """The study's run; made from its uid alone when its own payload has not arrived, which then completes it."""
        return self._run(client, experiment, {"uid": uid, "run_name": uid.split("@")[0], "start_ms": _born_ms(uid)})

    def _deliver_run(self, client: MlflowClient, payload: dict[str, Any]) -> None:
        experiment = self._experiment(client, payload["experiment"])
        run_id = self._run(client, experiment, payload)
        params = [Param(k, cut(str(v), MAX_PARAM)) for k, v in _renamed(payload["params"])]
        tags = [RunTag(k, cut(str(v), MAX_TAG)) for k, v in _renamed(payload["tags"])]
        _log(client, run_id, params, tags, _metrics(payload))
        if payload["status"] == "RUNNING":
            client.update_run(run_id, status="RUNNING")
        else:
            client.set_terminated(run_id, status=payload["status"], end_time=payload["end_ms"])

    def _deliver_model(self, client: MlflowClient, payload: dict[str, Any]) -> None:
        _check_bundle(payload)
        experiment = self._experiment(client, payload["experiment"])
        parent = self._parent(client, experiment, payload["parent_uid"])
        metrics = _metrics(payload)
        models = ModelDelivery(client, experiment, parent, scratch=self._artifact_folder / ".reloaded")
        parity = models.deliver(payload, metrics)
        exported = json.dumps({"trial": payload["trial"], "bundle": payload["bundle"]})
        tags = [RunTag("autoopt.reload_parity", cut(parity, MAX_TAG)), RunTag("autoopt.exported", exported)]
        client.log_batch(parent, metrics=metrics, tags=tags)


def _check_bundle(payload: dict[str, Any]) -> None:
    """Refuse a bundle that is gone, or that another trial's export has replaced: it has a payload of its own."""
    manifest = Path(payload["bundle"]) / "manifest.json"
    try:
        trial = json.loads(manifest.read_text(encoding="utf-8"))["trial"]
    except (OSError, ValueError, KeyError) as error:
        raise Refused(f"there is no bundle in {payload['bundle']} any more") from error
    if trial != payload["trial"]:
        raise Refused(f"{payload['bundle']} now holds trial {trial}, not {payload['trial']}")


def _log(client: MlflowClient, run_id: str, params: list[Param], tags: list[RunTag], metrics: list[Metric]) -> None:
    """Log in as few calls as MLflow allows; what it refuses is told and left out, and the rest goes through."""
    parts = zip_longest(
        chunks(params, PARAMS_A_CALL), chunks(tags, TAGS_A_CALL), chunks(metrics, METRICS_A_CALL), fillvalue=()
    )
    for some_params, some_tags, some_metrics in parts:
        try:
            client.log_batch(run_id, params=some_params, tags=some_tags, metrics=some_metrics)
        except MlflowException as error:
            if error.error_code != REFUSED:
                raise
            for kind, some in (("params", some_params), ("tags", some_tags), ("metrics", some_metrics)):
                _log_kind(client, run_id, kind, list(some))


def _log_kind(client: MlflowClient, run_id: str, kind: str, some: list[Any]) -> None:
    """One by one, but for metrics: a refused param is one that is there already with another value."""
    for part in [some] if kind == "metrics" else [[x] for x in some]:
        try:
            client.log_batch(run_id, **{kind: part})
        except MlflowException as error:
            if error.error_code != REFUSED:
                raise
            print(f"left out of run {run_id}: {error}", file=sys.stderr, flush=True)  # noqa: T201


def _metrics(payload: dict[str, Any]) -> list[Metric]:
    keys = safe_keys(m["key"] for m in payload["metrics"])
    return [Metric(keys[m["key"]], float(m["value"]), m["timestamp_ms"], m["step"]) for m in payload["metrics"]]


def _renamed(values: dict[str, Any]) -> list[tuple[str, Any]]:
    keys = safe_keys(values)
    return [(keys[name], value) for name, value in values.items()]


def _quotable(uid: str) -> str:
    return uid.replace("'", "")


def _born_ms(study_uid: str) -> int | None:
    """When a study was made, as its uid says."""
    with contextlib.suppress(ValueError):
        return int(datetime.fromisoformat(study_uid.rpartition("@")[2]).timestamp() * 1000)
    return None


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """MLflow's and HTTP's errors as one of our two."""
    try:
        yield
    except MlflowException as error:
        raise (Refused if error.error_code == REFUSED else Unreachable)(str(error)) from error
    except (requests.RequestException, OSError) as error:
        raise Unreachable(str(error)) from error
