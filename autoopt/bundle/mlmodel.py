"""The files that make a bundle an MLflow model: MLmodel with its signature, and an input example.

Written here in full, because MLflow's own writer copies, infers and imports for seconds; its reader is what decides,
and tests load bundles through it.
"""

import json
import platform
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from autoopt.bundle.contents import BundleContents
from autoopt.bundle.needs import requirements
from autoopt.runtime import Front
from autoopt.stages.front import front_of
from autoopt.task.facts import Modality, TaskFacts

EXAMPLE = "input_example.json"
ENVIRONMENT = "python_env.yaml"
REQUIREMENTS = "mlflow-requirements.txt"
NEEDED = ("autoopt", "numpy", "pandas")
EXAMPLE_ROWS = 5


def signature(contents: BundleContents) -> dict[str, str]:
    """MLflow's signature: raw inputs in, prediction and probabilities out. Missing values are allowed everywhere.

    Columns of numbers are 'any': whole numbers, fractions and truth values may all come, and MLflow would refuse whole
    numbers and truth values for a 'double'. So are images: bytes, data URIs and arrays may come. What cannot be used
    the runtime refuses, naming column and rows. A module's inputs are MLflow's named tensors.
    """
    facts = contents.facts
    inputs = _tensors(facts) if facts.raw_form is Modality.MODULE else _columns(facts)
    label = "string" if facts.kind.classifies and not facts.numeric_classes else "double"
    outputs: list[dict[str, Any]] = [{"name": "prediction", "type": label, "required": True}]
    columns = Front.parse(front_of(facts)).score_columns
    outputs += [{"name": name, "type": "double", "required": True} for name in columns]
    return {"inputs": json.dumps(inputs), "outputs": json.dumps(outputs)}


def write_mlmodel(folder: Path, contents: BundleContents) -> None:
    """Add MLmodel, its input example and its requirements to a bundle that is being written."""
    modality = contents.facts.raw_form
    example, told = _example(contents.verified.sample["columns"], modality)
    (folder / EXAMPLE).write_text(json.dumps(example, ensure_ascii=False))
    needed = (*NEEDED, "pillow") if modality is Modality.IMAGES else NEEDED
    (folder / REQUIREMENTS).write_text(requirements(contents, needed))
    environment = {"python": platform.python_version(), "dependencies": [f"-r {REQUIREMENTS}"]}
    (folder / ENVIRONMENT).write_text(yaml.safe_dump(environment, sort_keys=True))
    model = {
        "flavors": {
            "python_function": {
                "loader_module": "autoopt.runtime.pyfunc",
                "python_version": platform.python_version(),
                "env": {"virtualenv": ENVIRONMENT},
            }
        },
        "mlflow_version": version("mlflow"),
        "model_uuid": uuid.uuid4().hex,
        "utc_time_created": datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f"),
        "signature": signature(contents),
        "saved_input_example_info": {"artifact_path": EXAMPLE, **told},
    }
    (folder / "MLmodel").write_text(yaml.safe_dump(model, sort_keys=True))


def _columns(facts: TaskFacts) -> list[dict[str, Any]]:
    types = (("any", facts.number_columns), ("string", facts.category_columns), ("string", facts.text_columns))
    columns = [(kind, name) for kind, names in types for name in names]
    columns += [("any", array.name) for array in facts.tensors]
    return [{"name": name, "type": kind, "required": True} for kind, name in columns]


def _tensors(facts: TaskFacts) -> list[dict[str, Any]]:
    return [
        {"name": t.name, "type": "tensor", "tensor-spec": {"dtype": t.dtype, "shape": [-1, *t.shape]}}
        for t in facts.tensors
    ]


def _example(columns: Mapping[str, Sequence[Any]], modality: Modality) -> tuple[dict[str, Any], dict[str, str]]:
    """The input example, and what MLmodel says of its form."""
    few = {name: values[:EXAMPLE_ROWS] for name, values in columns.items()}
    if modality is Modality.MODULE:
        return few, {"type": "ndarray", "format": "tf-serving"}
    rows = [list(row) for row in zip(*few.values(), strict=True)]
    return {"columns": list(few), "data": rows}, {"type": "dataframe", "pandas_orient": "split"}
