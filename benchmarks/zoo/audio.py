"""A keyword spotter: a power spectrogram by STFT in front of depthwise-separable convolutions (DS-CNN, Zhang 2017)."""

import torch
from torch import Tensor, nn

from zoo.layers import Classifier, ConvNorm

WINDOW, HOP, BANDS = 480, 320, 40


def triangular_bands(bins: int, bands: int) -> Tensor:
    """[bins, bands] triangular weights, spaced as the mel scale spaces them, for 16 kHz."""
    top = 2595 * torch.log10(torch.tensor(1 + 8000 / 700))
    edges = 700 * (10 ** (torch.linspace(0, 1, bands + 2) * top / 2595) - 1) / 8000 * (bins - 1)
    place = torch.arange(bins).unsqueeze(1)
    rising = (place - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - place) / (edges[2:] - edges[1:-1])
    return torch.minimum(rising, falling).clamp(min=0)


class KeywordSpotter(nn.Module):
    """Sound [N, 16000] to logits [N, classes]."""

    def __init__(self, classes: int = 12, width: int = 64) -> None:
        super().__init__()
        self.register_buffer("window", torch.hann_window(WINDOW))
        self.register_buffer("bands", triangular_bands(512 // 2 + 1, BANDS))
        layers: list[nn.Module] = [ConvNorm(1, width, 5, 2)]
        for _ in range(4):
            layers += [ConvNorm(width, width, 3, groups=width), ConvNorm(width, width)]
        self.layers = nn.Sequential(*layers, Classifier(width, classes))

    def forward(self, sound: Tensor) -> Tensor:
        spectrum = torch.stft(sound, 512, HOP, WINDOW, self.window, center=False, return_complex=True)
        parts = torch.view_as_real(spectrum)
        power = (parts * parts).sum(-1).transpose(1, 2)
        features = torch.log(power @ self.bands + 1e-6)
        return self.layers(features.unsqueeze(1))
