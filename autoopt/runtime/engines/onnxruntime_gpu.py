"""onnxruntime on NVIDIA's GPUs, by CUDA or by TensorRT, where its package and a device are there."""

from abc import ABC
from collections.abc import Mapping
from typing import Any, ClassVar, final

import onnxruntime as ort

from autoopt.errors import BundleError
from autoopt.runtime.engines.base import Engine
from autoopt.runtime.serving import Serving
from autoopt.runtime.session import CPU, Runner, Session


class _OnGpu(Engine, ABC):
    distribution: ClassVar[str] = "onnxruntime-gpu"
    install: ClassVar[str] = "pip uninstall onnxruntime; pip install onnxruntime-gpu"
    device: ClassVar[str] = "cuda"
    load_s: ClassVar[float] = 1.0
    providers: ClassVar[tuple[str, ...]]
    """The one that is wanted, then what may take the operators that it does not know."""

    @property
    def absence(self) -> str:
        offered = self.providers[0] in ort.get_available_providers()
        return "" if offered else f"{self.name} is not installed: {self.install}"

    def options(self, cores: int) -> Mapping[str, tuple[Any, ...]]:
        return {}

    def load(self, content: bytes, serving: Serving, *, where: str = "the graph") -> Runner:
        if self.absence:
            raise BundleError(f"{where} cannot be run: {self.absence}")
        session = Session(
            content,
            threads=serving.threads,
            providers=(*self.providers, *CPU),
            graph=serving.graph,
            arena=serving.arena,
            where=where,
        )
        # Where the device or one of its libraries is missing, onnxruntime falls back to the CPU and only logs it
        if self.providers[0] not in session.providers:
            raise BundleError(f"{where} is not run by {self.name}: its device or one of its libraries is missing")
        return session


@final
class Cuda(_OnGpu):
    """By CUDA; what has no kernel there, texts for one, stays on the CPU."""

    name: ClassVar[str] = "cuda"
    providers: ClassVar[tuple[str, ...]] = ("CUDAExecutionProvider",)


@final
class TensorRt(_OnGpu):
    """By TensorRT, which builds an engine at the first call of each batch size: minutes, so only where it is named."""

    name: ClassVar[str] = "tensorrt"
    unasked: ClassVar[bool] = False
    providers: ClassVar[tuple[str, ...]] = ("TensorrtExecutionProvider", "CUDAExecutionProvider")
