"""In which number format a network's products are computed while it trains."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, final

from autoopt.space.domains import Value
from autoopt.strategies.base import NETWORKS, Stage, Strategy, Topic, choice
from autoopt.task.facts import TaskFacts
from autoopt.values import Slot

if TYPE_CHECKING:  # the catalogue is read by processes that never train: they do without torch
    import torch


@final
@dataclass(frozen=True, kw_only=True)
class Precision(Strategy):
    """Mixed precision of training (Micikevicius et al. 2018). Weights, graph and scores stay float32.

    * fp32: as it comes; the reference. On a GPU in full precision, convolutions too, which torch rounds by default.
    * bf16: products in bfloat16 by autocast; the range of float32 with 8 bits of precision, no loss scaling. Pays where
      the processor has the instructions (AMX, AVX512-BF16, GPUs since 2020) and the network is wide. With torch 2.13 on
      a processor with AMX, the loss of a ResNet of 8 to 64 channels became NaN by chance, in 5 of 12 first trainings of
      a process; in none of 12 where oneDNN was held below AMX (ONEDNN_MAX_CPU_ISA=AVX512_CORE_BF16), nor in fp32.
    * fp16: products in float16 by autocast, with a GradScaler that keeps small gradients from vanishing. GPUs.
    * tf32: products of float32 with 10 bits of precision, in training only; several times faster. NVIDIA since 2020.
    """

    name: ClassVar[str] = "precision"
    stage: ClassVar[Stage] = "train"
    topic: ClassVar[Topic] = Topic.ACCELERATOR
    when: ClassVar = {"model": NETWORKS}
    stand_ins: ClassVar[tuple[Value, ...]] = ("bf16", "fp16", "fp32")

    format: str = choice("fp32", "bf16", "fp16", "tf32", main=True, help="number format of the products in training")

    @classmethod
    def value_applies(cls, value: Value, task: TaskFacts, slot: Slot) -> str | None:
        if value == "fp32" or str(value) in slot.features:
            return None
        # The cards that have bf16 are those that have TF32: both came with one generation.
        if value == "tf32" and slot.device == "cuda" and "bf16" in slot.features:
            return None
        return f"this {slot.device} has no fast {value} arithmetic"

    @contextlib.contextmanager
    def products(self) -> Iterator[None]:
        """Within it, products of float32 on NVIDIA cards are rounded (tf32) or not (all others)."""
        import torch

        kinds = (torch.backends.cuda.matmul, torch.backends.cudnn.conv, torch.backends.cudnn.rnn)
        before = [kind.fp32_precision for kind in kinds]
        for kind in kinds:
            kind.fp32_precision = "tf32" if self.format == "tf32" else "ieee"
        try:
            yield
        finally:
            for kind, value in zip(kinds, before, strict=True):
                kind.fp32_precision = value

    def autocast(self, device_type: str) -> contextlib.AbstractContextManager[object]:
        """Within it, products of float32 tensors on that device run in this format."""
        import torch

        if self.format in ("fp32", "tf32"):
            return contextlib.nullcontext()
        dtype = torch.bfloat16 if self.format == "bf16" else torch.float16
        context: contextlib.AbstractContextManager[object] = torch.autocast(device_type, dtype)
        return context

    def scaler(self, device_type: str) -> "torch.amp.GradScaler":
        """Scales the loss for fp16; does nothing for the others."""
        import torch

        return torch.amp.GradScaler(device_type, enabled=self.format == "fp16")
