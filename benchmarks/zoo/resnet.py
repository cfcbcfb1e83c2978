"""Residual networks (He 2015): ResNet-20 and -8 for CIFAR-10, ResNet-50 for ImageNet."""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from zoo.layers import Classifier, ConvNorm


class ChannelPadding(nn.Module):
    """Option A of the paper: every second pixel, and zero channels on both sides; no weights."""

    def __init__(self, added: int) -> None:
        super().__init__()
        self.added = added

    def forward(self, x: Tensor) -> Tensor:
        half = self.added // 2
        return functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, half, self.added - half))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions around a shortcut; parameter names as in the shared resnet20 weights."""

    def __init__(self, inputs: int, outputs: int, stride: int, *, projected: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            same = ConvNorm(inputs, outputs, 1, stride, activation=None)
            self.shortcut = same if projected else ChannelPadding(outputs - inputs)

    def forward(self, x: Tensor) -> Tensor:
        inner = functional.relu(self.bn1(self.conv1(x)))
        return functional.relu(self.bn2(self.conv2(inner)) + self.shortcut(x))


class CifarResNet(nn.Module):
    """6n + 2 layers for pictures of 32x32; `repeats` is n."""

    def __init__(self, repeats: int, *, projected: bool = False, classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        stages, channels = [], 16
        for outputs, stride in ((16, 1), (32, 2), (64, 2)):
            steps = [stride, *[1] * (repeats - 1)]
            blocks = [BasicBlock(channels if i == 0 else outputs, outputs, s, projected=projected)
                      for i, s in enumerate(steps)]  # fmt: skip
            stages.append(nn.Sequential(*blocks))
            channels = outputs
        self.layer1, self.layer2, self.layer3 = stages
        self.linear = nn.Linear(64, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(functional.avg_pool2d(x, x.size(3)).flatten(1))


class Bottleneck(nn.Module):
    """1x1, 3x3 with the stride, 1x1 to four times the channels."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = 4 * width
        self.layers = nn.Sequential(
            ConvNorm(inputs, width), ConvNorm(width, width, 3, stride), ConvNorm(width, outputs, activation=None)
        )
        same = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if same else ConvNorm(inputs, outputs, 1, stride, activation=None)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.layers(x) + self.shortcut(x))


def resnet8(classes: int = 10) -> nn.Module:
    """The image classification network of MLPerf Tiny."""
    return CifarResNet(1, projected=True, classes=classes)


def resnet20(weights: Path | None = None) -> nn.Module:
    """ResNet-20 with option A; `weights` is a checkpoint whose state dict was saved from DataParallel."""
    network = CifarResNet(3)
    if weights is not None:
        checkpoint = torch.load(weights, map_location="cpu", weights_only=True)
        state = {name.removeprefix("module."): value for name, value in checkpoint["state_dict"].items()}
        network.load_state_dict(state)
    return network


def resnet50(classes: int = 1000) -> nn.Module:
    """ResNet-50 with the stride in the 3x3 convolution (v1.5)."""
    layers: list[nn.Module] = [ConvNorm(3, 64, 7, 2), nn.MaxPool2d(3, 2, 1)]
    channels = 64
    for width, repeats, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for index in range(repeats):
            layers.append(Bottleneck(channels, width, 1 if index else stride))
            channels = 4 * width
    return nn.Sequential(*layers, Classifier(channels, classes))
