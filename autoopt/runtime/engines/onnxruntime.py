"""onnxruntime on the CPU: what every bundle can be run with."""

from collections.abc import Mapping
from typing import Any, ClassVar, final

from autoopt.runtime.engines.base import Engine, thread_counts
from autoopt.runtime.serving import PLAIN_RUNTIME, Serving
from autoopt.runtime.session import Runner, Session


@final
class OnnxRuntime(Engine):
    """The graph optimized when it is loaded, its nodes run one after another by pinned threads."""

    name: ClassVar[str] = PLAIN_RUNTIME
    distribution: ClassVar[str] = "onnxruntime"
    install: ClassVar[str] = "pip install onnxruntime"

    @property
    def absence(self) -> str:
        return ""  # this package does not load without; onnxruntime-gpu brings it under another name

    def options(self, cores: int) -> Mapping[str, tuple[Any, ...]]:
        return {"threads": thread_counts(cores), "graph": ("all", "extended", "basic"), "arena": (True, False)}

    def load(self, content: bytes, serving: Serving, *, where: str = "the graph") -> Runner:
        return Session(content, threads=serving.threads, graph=serving.graph, arena=serving.arena, where=where)
