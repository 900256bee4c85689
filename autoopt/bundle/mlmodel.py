"""The files that make a bundle an MLflow model: MLmodel with its signature, and an input example.

Written here in full, because MLflow's own writer copies, infers and imports for seconds; its reader is what decides,
and tests load bundles through it.
"""

import json
import platform
import uuid
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from autoopt.bundle.contents import BundleContents

EXAMPLE = "input_example.json"
ENVIRONMENT = "python_env.yaml"
REQUIREMENTS = "mlflow-requirements.txt"
NEEDED = ("autoopt", "numpy", "onnxruntime", "pandas")


def signature(contents: BundleContents) -> dict[str, str]:
    """MLflow's signature: raw columns in, prediction and probabilities out. Missing values are allowed everywhere.

    Columns of numbers are 'any': whole numbers, fractions and truth values may all come, and MLflow would refuse whole
    numbers and truth values for a 'double'. What is no number the runtime refuses, naming column and rows.
    """
    facts = contents.facts
    inputs = [{"name": c, "type": "any", "required": True} for c in facts.number_columns]
    inputs += [{"name": c, "type": "string", "required": True} for c in facts.category_columns]
    label = "string" if facts.kind.classifies and not facts.numeric_classes else "double"
    outputs: list[dict[str, Any]] = [{"name": "prediction", "type": label, "required": True}]
    outputs += [{"name": f"probability_{c}", "type": "double", "required": True} for c in facts.classes]
    return {"inputs": json.dumps(inputs), "outputs": json.dumps(outputs)}


def write_mlmodel(folder: Path, contents: BundleContents) -> None:
    """Add MLmodel, its input example and its requirements to a bundle that is being written."""
    columns = contents.verified.sample["columns"]
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)][:5]
    example = {"columns": list(columns), "data": [list(row.values()) for row in rows]}
    (folder / EXAMPLE).write_text(json.dumps(example, ensure_ascii=False))
    (folder / REQUIREMENTS).write_text("".join(f"{name}=={version(name)}\n" for name in NEEDED))
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
        "saved_input_example_info": {
            "artifact_path": EXAMPLE,
            "type": "dataframe",
            "pandas_orient": "split",
        },
    }
    (folder / "MLmodel").write_text(yaml.safe_dump(model, sort_keys=True))
