"""MobileNet v1 (Howard 2017), v2 (Sandler 2018) and v3 (Howard 2019), the last also in its minimalistic form."""

from functools import partial

from torch import nn

from zoo.layers import Activation, Classifier, ConvNorm, InvertedResidual, divisible

RELU6: Activation = nn.ReLU6
V1 = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1))
V2 = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
# kernel, expanded, outputs, squeeze and excite, hard swish, stride
V3_LARGE = (
    (3, 16, 16, 0, 0, 1), (3, 64, 24, 0, 0, 2), (3, 72, 24, 0, 0, 1), (5, 72, 40, 1, 0, 2), (5, 120, 40, 1, 0, 1),
    (5, 120, 40, 1, 0, 1), (3, 240, 80, 0, 1, 2), (3, 200, 80, 0, 1, 1), (3, 184, 80, 0, 1, 1), (3, 184, 80, 0, 1, 1),
    (3, 480, 112, 1, 1, 1), (3, 672, 112, 1, 1, 1), (5, 672, 160, 1, 1, 2), (5, 960, 160, 1, 1, 1),
    (5, 960, 160, 1, 1, 1),
)  # fmt: skip
V3_SMALL = (
    (3, 16, 16, 1, 0, 2), (3, 72, 24, 0, 0, 2), (3, 88, 24, 0, 0, 1), (5, 96, 40, 1, 1, 2), (5, 240, 40, 1, 1, 1),
    (5, 240, 40, 1, 1, 1), (5, 120, 48, 1, 1, 1), (5, 144, 48, 1, 1, 1), (5, 288, 96, 1, 1, 2), (5, 576, 96, 1, 1, 1),
    (5, 576, 96, 1, 1, 1),
)  # fmt: skip


def mobilenet_v1(width: float = 1.0, classes: int = 1000) -> nn.Module:
    """Depthwise and pointwise convolutions in turn."""
    channels = divisible(32 * width)
    layers: list[nn.Module] = [ConvNorm(3, channels, 3, 2, activation=RELU6)]
    for outputs, stride in V1:
        wide = divisible(outputs * width)
        layers += [
            ConvNorm(channels, channels, 3, stride, channels, RELU6),
            ConvNorm(channels, wide, activation=RELU6),
        ]
        channels = wide
    return nn.Sequential(*layers, Classifier(channels, classes))


def mobilenet_v2(width: float = 1.0, classes: int = 1000) -> nn.Module:
    """Inverted residuals with linear bottlenecks."""
    channels = divisible(32 * width)
    layers: list[nn.Module] = [ConvNorm(3, channels, 3, 2, activation=RELU6)]
    for expansion, outputs, repeats, stride in V2:
        wide = divisible(outputs * width)
        for index in range(repeats):
            expanded = channels * expansion
            layers.append(InvertedResidual(channels, expanded, wide, 3, 1 if index else stride, RELU6))
            channels = wide
    last = divisible(1280 * max(1.0, width))
    return nn.Sequential(*layers, ConvNorm(channels, last, activation=RELU6), Classifier(last, classes))


def mobilenet_v3(
    size: str = "large", width: float = 1.0, *, minimalistic: bool = False, classes: int = 1000
) -> nn.Module:
    """Searched inverted residuals; minimalistic: 3x3 kernels, ReLU and no attention."""
    swish: Activation = nn.ReLU if minimalistic else nn.Hardswish
    channels = divisible(16 * width)
    layers: list[nn.Module] = [ConvNorm(3, channels, 3, 2, activation=swish)]
    expanded, full = channels, 16
    for kernel, expansion, outputs, attends, swishes, stride in V3_LARGE if size == "large" else V3_SMALL:
        expanded, wide = divisible(channels * expansion / full), divisible(outputs * width)  # of rounded channels
        squeezed = divisible(expanded / 4) if attends and not minimalistic else 0
        activation = swish if swishes else nn.ReLU
        kernel = 3 if minimalistic else kernel
        layers.append(InvertedResidual(channels, expanded, wide, kernel, stride, activation, squeezed))
        channels, full = wide, outputs
    last = divisible((960 if size == "large" else 576) * width)
    head = Classifier(last, 1280 if size == "large" else 1024, classes, activation=partial(swish))
    return nn.Sequential(*layers, ConvNorm(channels, last, activation=swish), head)
