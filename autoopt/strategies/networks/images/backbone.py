"""A network that begins with weights that the user has."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar, final

from autoopt.errors import StageFailure
from autoopt.space import Untold
from autoopt.strategies.base import choice, real
from autoopt.strategies.learning.augment import Augment
from autoopt.strategies.model import Trained, TrainingContext, TrainingData
from autoopt.strategies.networks.images.image_network import PixelNetwork, sides
from autoopt.task.facts import TaskFacts
from autoopt.values import FailureReason, Slot

if TYPE_CHECKING:  # the catalogue is read by processes that never train: they do without torch
    from torch import nn


@final
@dataclass(frozen=True, kw_only=True)
class Backbone(PixelNetwork):
    """Transfer learning: a network that was trained on many images goes on with these (Yosinski et al. 2014).

    The weights are a safetensors file of the user's, `--backbone FILE`: a ResNet or ResNeXt of any depth and width by
    torchvision's or timm's names, or a MobileNetV2 by torchvision's; nothing is downloaded. Its last layer is replaced
    by one for this task, its pixels are normalized as ImageNet's are.

    * learns: all; the layers after the last halving of the image (last_stage); only the new layer (head). What does
      not learn keeps its statistics of batch normalization too. Without augmentation a head learns from features that
      are computed once, which takes seconds where all takes minutes; a few images a class are enough for it.
    * rate_share 0.001 to 1: what came trained moves more carefully than the new layer (Howard & Ruder 2018).
    * least_side 0 to 224: smaller images are enlarged to that shorter side within the graph, as such weights know
      objects of about 200 pixels; time goes with its square. 0: never. Large photos want --image-size 224.

    Helps most with few images that look like photos. Compared with the small networks here it is large and slow: with
    limits, look at MobileNetV2 and ResNet-18. Quantizes as other networks of convolutions do.
    """

    name: ClassVar[str] = "backbone"
    any_size: ClassVar[bool] = True
    convolves: ClassVar[bool] = True
    scoring_rows: ClassVar[int] = 128
    field_when: ClassVar = {"rate_share": {"backbone.learns": ("all", "last_stage")}}

    learns: str = choice("all", "last_stage", "head", help="what of the network learns; the rest stays as it came")
    rate_share: float = real(0.1, low=0.001, high=1.0, log=True, help="learning rate of what came trained, as a share")
    least_side: int = choice(96, 0, 64, 128, 160, 192, 224, help="pixels a side that smaller images are enlarged to")

    @classmethod
    def applies(cls, task: TaskFacts, slot: Slot) -> str | None:
        whole = super().applies(task, slot)
        if whole is None and task.backbone is None:
            return Untold("no file of pre-trained weights was given: --backbone FILE")
        return whole

    def build(self, data: TrainingData[Any]) -> "nn.Module":
        """Raises StageFailure where there are no weights to begin with."""
        from torch import nn

        from autoopt.strategies.networks.images.bodies import pretrained_body
        from autoopt.strategies.networks.images.body import Enlarged, usual_normalization
        from autoopt.strategies.networks.images.layers import Head

        if data.pretrained is None:
            raise StageFailure(FailureReason.ERROR, "a backbone needs pre-trained weights: --backbone FILE")
        height, width = sides(data)
        outputs = len(data.facts.classes) if data.facts.kind.classifies else 1
        body, channels = pretrained_body(data.pretrained)
        body.learn(self.learns, self.rate_share)
        return nn.Sequential(
            usual_normalization(),
            Enlarged(height, width, self.least_side),
            body,
            Head(channels, outputs, self.dropout, largest=False),
        )

    def train(self, data: TrainingData[Any], context: TrainingContext) -> Trained:
        always_alike = self.learns == "head" and Augment.from_recipe(context.recipe).leaves_images
        if not always_alike or context.ranks.size > 1:
            return super().train(data, context)
        from autoopt.strategies.networks.images.frozen_body import head_trained

        return head_trained(self, data, context)

    def architecture(self, facts: TaskFacts) -> Mapping[str, Any]:
        return {**super().architecture(facts), "weights": asdict(facts.backbone) if facts.backbone else None}
