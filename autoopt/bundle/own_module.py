"""A bundle of weights without a graph: what its manifest says of the user's module, and how it is run again."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from autoopt.errors import BundleError, DataError
from autoopt.files import sha256_file
from autoopt.runtime import Runner
from autoopt.runtime.predictor import WEIGHTS_FILE
from autoopt.stages.contract import VerifiedArtifact
from autoopt.task.facts import TaskFacts


def is_torch(artifact: VerifiedArtifact) -> bool:
    """Whether an artifact is weights for torch and not a graph."""
    return Path(artifact.file).name == WEIGHTS_FILE


def has_weights_only(folder: Path) -> bool:
    """Whether a bundle has no graph."""
    return (folder / WEIGHTS_FILE).is_file()


def module_json(facts: TaskFacts) -> dict[str, Any]:
    """What the manifest says of the user's module: `autoopt predict --task` goes by it."""
    if facts.module_facts is None:
        return {}
    path = facts.module.rpartition(":")[0]
    return {
        "reference": facts.module,
        "sha256": facts.module_facts.files.get(path, ""),
        "output": facts.module_facts.output,
        "inputs": [t.name for t in facts.tensors],
    }


def torch_runner(folder: Path, manifest: Mapping[str, Any], content: bytes, task: str | None, threads: int) -> Runner:
    """The module of `task`, 'path/to/task.py:function', with the bundle's weights in it.

    Raises BundleError without a task and for a file that is not the one that was trained, DataError for its failures.
    """
    module = manifest.get("module", {})
    if task is None:
        message = f"{folder} has no graph, as torch cannot trace its module: give the module's file too"
        raise BundleError(f"{message}, --task {module.get('reference', 'path/to/task.py:function')}.")
    from safetensors import SafetensorError

    from autoopt.strategies.networks.torch_runner import TorchRunner
    from autoopt.task.module.loading import load_task, split_reference

    path, _ = split_reference(task)
    if sha256_file(path) != module.get("sha256"):
        raise BundleError(f"{path} is not the file that the weights in {folder} were trained with: its hash differs.")
    try:
        return TorchRunner(
            content, load_task(task), path.parent, tuple(module["inputs"]), str(module["output"]), threads=threads
        )
    except (DataError, BundleError):
        raise
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError, SafetensorError) as error:
        raise BundleError(f"{folder / WEIGHTS_FILE} is damaged. Export the bundle again.") from error
