"""EfficientNet-Lite0 to Lite4: EfficientNet (Tan 2019) without attention and with ReLU6, fixed stem and head."""

from math import ceil

from torch import nn

from zoo.layers import Classifier, ConvNorm, InvertedResidual, divisible

# kernel, repeats, outputs, expansion, stride
STAGES = (
    (3, 1, 16, 1, 1), (3, 2, 24, 6, 2), (5, 2, 40, 6, 2), (3, 3, 80, 6, 2), (5, 3, 112, 6, 1), (5, 4, 192, 6, 2),
    (3, 1, 320, 6, 1),
)  # fmt: skip
# width, depth, size of the picture
VARIANTS = ((1.0, 1.0, 224), (1.0, 1.1, 240), (1.1, 1.2, 260), (1.2, 1.4, 280), (1.4, 1.8, 300))


def efficientnet_lite(variant: int = 0, classes: int = 1000) -> nn.Module:
    """The network of VARIANTS[variant]; its first and last stages are not repeated, stem and head not widened."""
    width, depth, _ = VARIANTS[variant]
    channels = 32
    layers: list[nn.Module] = [ConvNorm(3, channels, 3, 2, activation=nn.ReLU6)]
    for number, (kernel, repeats, outputs, expansion, stride) in enumerate(STAGES):
        wide = divisible(outputs * width)
        count = repeats if number in (0, len(STAGES) - 1) else ceil(repeats * depth)
        for index in range(count):
            step = 1 if index else stride
            layers.append(InvertedResidual(channels, channels * expansion, wide, kernel, step, nn.ReLU6))
            channels = wide
    return nn.Sequential(*layers, ConvNorm(channels, 1280, activation=nn.ReLU6), Classifier(1280, classes))
