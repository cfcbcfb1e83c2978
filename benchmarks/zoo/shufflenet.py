"""ShuffleNetV2 (Ma 2018): split the channels, work on one half, shuffle."""

import torch
from torch import Tensor, nn

from zoo.layers import Classifier, ConvNorm

OUTPUTS = {0.5: (24, 48, 96, 192, 1024), 1.0: (24, 116, 232, 464, 1024), 1.5: (24, 176, 352, 704, 1024)}


def shuffle(x: Tensor) -> Tensor:
    """Channels of two groups, dealt out in turn."""
    n, c, h, w = x.shape
    return x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)


class Unit(nn.Module):
    """A unit of stride 1 (half of the channels pass by) or 2 (both branches halve the picture)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        half = outputs // 2
        self.stride = stride
        entering = inputs if stride == 2 else half
        self.main = nn.Sequential(
            ConvNorm(entering, half), ConvNorm(half, half, 3, stride, half, None), ConvNorm(half, half)
        )
        if stride == 2:
            self.side = nn.Sequential(ConvNorm(inputs, inputs, 3, 2, inputs, None), ConvNorm(inputs, half))

    def forward(self, x: Tensor) -> Tensor:
        if self.stride == 2:
            return shuffle(torch.cat((self.side(x), self.main(x)), 1))
        passing, worked = x.chunk(2, 1)
        return shuffle(torch.cat((passing, self.main(worked)), 1))


def shufflenet_v2(width: float = 1.0, classes: int = 1000) -> nn.Module:
    """Three stages of 4, 8 and 4 units."""
    stem, *stages, last = OUTPUTS[width]
    layers: list[nn.Module] = [ConvNorm(3, stem, 3, 2), nn.MaxPool2d(3, 2, 1)]
    channels = stem
    for outputs, repeats in zip(stages, (4, 8, 4)):
        for index in range(repeats):
            layers.append(Unit(channels, outputs, 1 if index else 2))
            channels = outputs
    return nn.Sequential(*layers, ConvNorm(channels, last), Classifier(last, classes))
