"""Blocks that several networks share."""

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn

Activation = Callable[[], nn.Module]


def divisible(channels: float, by: int = 8) -> int:
    """The multiple of `by` nearest to `channels`, never more than a tenth below it (the MobileNets' rule)."""
    rounded = max(by, int(channels + by / 2) // by * by)
    return rounded + by if rounded < 0.9 * channels else rounded


class ConvNorm(nn.Sequential):
    """Convolution without bias, batch norm, activation (None: linear)."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1,
        activation: Activation | None = nn.ReLU,
    ) -> None:  # fmt: skip
        layers: list[nn.Module] = [
            nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
            nn.BatchNorm2d(outputs),
        ]
        super().__init__(*layers, *([] if activation is None else [activation()]))


class SqueezeExcite(nn.Module):
    """Channel attention: mean over the picture, two 1x1 convolutions, a gate."""

    def __init__(self, channels: int, squeezed: int, gate: Activation = nn.Hardsigmoid) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, squeezed, 1)
        self.expand = nn.Conv2d(squeezed, channels, 1)
        self.activation = nn.ReLU()
        self.gate = gate()

    def forward(self, x: Tensor) -> Tensor:
        pooled = x.mean((2, 3), keepdim=True)
        return x * self.gate(self.expand(self.activation(self.reduce(pooled))))


class InvertedResidual(nn.Module):
    """Expand, depthwise, (attend), project; with a shortcut where the shape stays (MobileNetV2 and its heirs)."""

    def __init__(
        self, inputs: int, expanded: int, outputs: int, kernel: int, stride: int, activation: Activation,
        squeezed: int = 0,
    ) -> None:  # fmt: skip
        super().__init__()
        layers: list[nn.Module] = []
        if expanded != inputs:
            layers.append(ConvNorm(inputs, expanded, activation=activation))
        layers.append(ConvNorm(expanded, expanded, kernel, stride, expanded, activation))
        if squeezed:
            layers.append(SqueezeExcite(expanded, squeezed))
        self.layers = nn.Sequential(*layers, ConvNorm(expanded, outputs, activation=None))
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x) if self.shortcut else self.layers(x)


class Classifier(nn.Module):
    """Global mean, then linear layers with activations between them."""

    def __init__(self, *sizes: int, activation: Activation = nn.ReLU) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(sizes):
            layers += [nn.Linear(inputs, outputs), activation()]
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x.mean((2, 3)))


def settle_norms(network: nn.Module, seed: int = 0) -> nn.Module:
    """Give every batch norm statistics and affine parameters that are not the identity, so that folding is tested."""
    generator = torch.Generator().manual_seed(seed)
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            shape = part.running_mean.shape
            part.running_mean.copy_(0.1 * torch.randn(shape, generator=generator))
            part.running_var.copy_(1 + 0.2 * torch.rand(shape, generator=generator))
            part.weight.data.copy_(1 + 0.2 * torch.rand(shape, generator=generator))
            part.bias.data.copy_(0.1 * torch.randn(shape, generator=generator))
    return network
