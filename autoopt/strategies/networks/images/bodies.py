"""From a file of weights to the network that they are for."""

from pathlib import Path

from autoopt.strategies.networks.images.body import Body
from autoopt.strategies.networks.images.mobilenet_body import MobileNetBody
from autoopt.strategies.networks.images.resnet_body import ResNetBody
from autoopt.task.images.architectures import ResNet
from autoopt.task.images.backbone import backbone_architecture


def pretrained_body(file: Path) -> tuple[Body, int]:
    """The network of a safetensors file with its weights, and the channels that come out of it."""
    architecture = backbone_architecture(file)
    body = ResNetBody(architecture) if isinstance(architecture, ResNet) else MobileNetBody(architecture)
    body.begin_with(file)
    return body, architecture.channels
