"""An image and its mirror image, judged together."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final, final

from autoopt.strategies.base import NETWORKS, Stage, Strategy, choice
from autoopt.strategies.model import FEATURES, SCORES
from autoopt.task.facts import Modality, TaskFacts
from autoopt.values import Slot

if TYPE_CHECKING:
    import onnx

WIDTH_AXIS: Final = 2
_BACKWARDS_TO_THE_START = -(2**63)
_BOTH, _MIRRORED, _JUDGED, _HALF = ("mirror/both", "mirror/mirrored", "mirror/judged", "mirror/half")


@final
@dataclass(frozen=True, kw_only=True)
class Mirror(Strategy):
    """The mean of the scores of an image and of its mirror image, within the deployed graph (test-time augmentation).

    Worth half a point to a point of accuracy to networks that were trained with flips (He et al. 2016 report such
    averages), for twice the time of a prediction and not a byte more; the training is the same. Of no use where left
    and right matter (digits, letters). Both go through the network as one batch of twice the rows.
    """

    name: ClassVar[str] = "mirror"
    stage: ClassVar[Stage] = "deploy"
    when: ClassVar = {"model": NETWORKS}

    on: bool = choice(False, True, main=True, help="average the scores of an image and its mirror image")

    @classmethod
    def applies(cls, task: TaskFacts, slot: Slot) -> str | None:
        if task.modality is Modality.IMAGES:
            return None
        return f"it mirrors images, and this task is {task.modality}"

    def apply(self, model: "onnx.ModelProto") -> "onnx.ModelProto":
        """The graph to deploy, from one that takes pixels, FEATURES (rows, h, w, 3), to SCORES: a new one, or it."""
        return mirrored(model) if self.on else model


def mirrored(model: "onnx.ModelProto") -> "onnx.ModelProto":
    """A graph around `model` that gives the mean of its SCORES of FEATURES and of FEATURES with axis 2 reversed."""
    import numpy as np
    import onnx
    from onnx import helper, numpy_helper

    found = onnx.ModelProto()
    found.CopyFrom(model)
    graph = found.graph
    for node in graph.node:
        node.input[:] = [_BOTH if name == FEATURES else name for name in node.input]
        node.output[:] = [_JUDGED if name == SCORES else name for name in node.output]
    del graph.value_info[:]  # inside, there are twice as many rows now
    slicing = {"starts": -1, "ends": _BACKWARDS_TO_THE_START, "axes": WIDTH_AXIS, "steps": -1}
    constants = [
        numpy_helper.from_array(np.array([value], dtype=np.int64), f"mirror/{name}") for name, value in slicing.items()
    ]
    before = [
        helper.make_node("Slice", [FEATURES, *(c.name for c in constants)], [_MIRRORED]),
        helper.make_node("Concat", [FEATURES, _MIRRORED], [_BOTH], axis=0),
    ]
    halves = [f"{_HALF}/0", f"{_HALF}/1"]
    after = [
        helper.make_node("Split", [_JUDGED], halves, axis=0, num_outputs=2),
        helper.make_node("Mean", halves, [SCORES]),
    ]
    inner = list(graph.node)
    del graph.node[:]
    graph.node.extend([*before, *inner, *after])
    graph.initializer.extend(constants)
    return found
