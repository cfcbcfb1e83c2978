"""A modest U-Net (Ronneberger 2015) for segmentation, with transposed convolutions or resizing on the way up."""

import torch
from torch import Tensor, nn

from zoo.layers import ConvNorm


def double(inputs: int, outputs: int) -> nn.Sequential:
    """Two 3x3 convolutions."""
    return nn.Sequential(ConvNorm(inputs, outputs, 3), ConvNorm(outputs, outputs, 3))


class UNet(nn.Module):
    """Four levels; the skipped features are concatenated."""

    def __init__(self, widths: tuple[int, ...] = (16, 32, 64, 128), classes: int = 2, *, resized: bool = False) -> None:
        super().__init__()
        inputs = (3, *widths[:-1])
        self.down = nn.ModuleList([double(a, b) for a, b in zip(inputs, widths)])
        pairs = list(zip(widths[:0:-1], widths[-2::-1]))
        self.rise = nn.ModuleList([self._riser(a, b, resized=resized) for a, b in pairs])
        self.up = nn.ModuleList([double(2 * b, b) for _, b in pairs])
        self.pool = nn.MaxPool2d(2)
        self.head = nn.Conv2d(widths[0], classes, 1)

    @staticmethod
    def _riser(inputs: int, outputs: int, *, resized: bool) -> nn.Module:
        if not resized:
            return nn.ConvTranspose2d(inputs, outputs, 2, 2)
        return nn.Sequential(nn.Upsample(scale_factor=2, mode="bilinear"), nn.Conv2d(inputs, outputs, 1))

    def forward(self, x: Tensor) -> Tensor:
        skipped: list[Tensor] = []
        for index, level in enumerate(self.down):
            x = level(x if index == 0 else self.pool(x))
            skipped.append(x)
        for rise, level, skip in zip(self.rise, self.up, skipped[-2::-1]):
            x = level(torch.cat((skip, rise(x)), 1))
        return self.head(x)
