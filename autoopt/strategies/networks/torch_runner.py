"""Runs a network without a graph: rebuilt by the user's code, its weights put in."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load

from autoopt.errors import BundleError
from autoopt.strategies.networks.own_outputs import Uniform
from autoopt.strategies.networks.scored import Scored
from autoopt.task.module import ModuleTask
from autoopt.task.module.forward import VALUES, built


@final
class TorchRunner:
    """Scores by torch, as a Session gives them by a graph. Raises BundleError where the weights do not fit."""

    def __init__(
        self, content: bytes, task: ModuleTask, folder: Path, names: tuple[str, ...], output: str, *, threads: int = 1
    ) -> None:
        """`content`: bytes of a model.safetensors; `folder`: of the user's file; `names`: inputs in forward's order."""
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        network = built(task.build, json.loads(header["__metadata__"]["autoopt"])["build"], folder)
        try:
            network.load_state_dict(load(content))
        except RuntimeError as error:
            lines = str(error).splitlines()
            raise BundleError(f"The weights do not fit into what build gives: {lines[-1].strip()}") from error
        torch.set_num_threads(threads)
        self._names = names
        self._network = Scored(Uniform(network, output), output != VALUES, 0.0, 1.0).eval()

    def run(self, feed: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """Scores (rows, classes or 1)."""
        inputs = (torch.from_numpy(np.ascontiguousarray(feed[name])) for name in self._names)
        with torch.inference_mode():
            scores: NDArray[np.float32] = self._network(*inputs).float().numpy()
        return scores
