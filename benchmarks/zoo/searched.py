"""MnasNet-B1 (Tan 2018) and a network in the manner of MCUNet (Lin 2020): searched stacks of inverted residuals."""

from torch import nn

from zoo.layers import Classifier, ConvNorm, InvertedResidual, divisible

# kernel, expansion, outputs, repeats, stride
MNASNET = ((3, 3, 24, 3, 2), (5, 3, 40, 3, 2), (5, 6, 80, 3, 2), (3, 6, 96, 2, 1), (5, 6, 192, 4, 2), (3, 6, 320, 1, 1))
MCUNET = ((7, 3, 16, 2, 2), (3, 4, 24, 3, 2), (5, 5, 40, 3, 2), (7, 4, 48, 2, 1), (5, 5, 96, 3, 2), (3, 6, 160, 1, 1))


def _stack(
    stages: tuple[tuple[int, int, int, int, int], ...], channels: int, width: float, activation: type[nn.Module]
) -> tuple[list[nn.Module], int]:
    layers: list[nn.Module] = []
    for kernel, expansion, outputs, repeats, stride in stages:
        wide = divisible(outputs * width)
        for index in range(repeats):
            step = 1 if index else stride
            layers.append(InvertedResidual(channels, channels * expansion, wide, kernel, step, activation))
            channels = wide
    return layers, channels


def mnasnet(width: float = 1.0, classes: int = 1000) -> nn.Module:
    """MnasNet-B1, the variant without attention."""
    stem, first = divisible(32 * width), divisible(16 * width)
    layers, channels = _stack(MNASNET, first, width, nn.ReLU)
    opening = [ConvNorm(3, stem, 3, 2), ConvNorm(stem, stem, 3, groups=stem), ConvNorm(stem, first, activation=None)]
    return nn.Sequential(*opening, *layers, ConvNorm(channels, 1280), Classifier(1280, classes))


def mcunet_like(width: float = 1.0, classes: int = 2) -> nn.Module:
    """Kernels of 3, 5 and 7, few channels, small pictures: what fits a microcontroller."""
    layers, channels = _stack(MCUNET, 8, width, nn.ReLU6)
    opening = [ConvNorm(3, 16, 3, 2, activation=nn.ReLU6), InvertedResidual(16, 16, 8, 3, 1, nn.ReLU6)]
    return nn.Sequential(*opening, *layers, Classifier(channels, classes))
