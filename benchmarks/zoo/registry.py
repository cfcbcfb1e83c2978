"""The zoo's networks by name."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from zoo import audio, convnext, efficientnet, mobilenet, resnet, searched, shufflenet, squeezenet, taggers, transformer
from zoo import unet as unets
from zoo.layers import settle_norms

SEED = 20_261_122
MOBILENET_WIDTHS = {1: (0.25, 0.5, 0.75, 1.0), 2: (0.35, 0.5, 0.75, 1.0, 1.4), 3: (0.75, 1.0)}
MOBILENET_SIZES = (96, 128, 160, 192, 224)


@dataclass(frozen=True)
class Entry:
    """One network: how to build it, the shape of its input, and whether that holds tokens.

    `core` marks those that stand for their family; the rest are other widths and sizes of them.
    """

    name: str
    builder: Callable[[], nn.Module]
    shape: tuple[int, ...]
    tokens: int = 0
    core: bool = True

    @property
    def image(self) -> bool:
        """True for networks that take pictures."""
        return len(self.shape) == 4


def networks() -> dict[str, Entry]:
    """Every network of the zoo by name."""
    entries = [*_mobilenets(), *_efficientnets(), *_others()]
    return {entry.name: entry for entry in entries}


def build(entry: Entry) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """The network in evaluation mode with seeded weights, and seeded example inputs."""
    torch.manual_seed(SEED)
    network = settle_norms(entry.builder()).eval()
    generator = torch.Generator().manual_seed(SEED)
    if entry.tokens:
        return network, (torch.randint(0, entry.tokens, entry.shape, generator=generator),)
    return network, (torch.randn(entry.shape, generator=generator),)


def _mobilenets() -> list[Entry]:
    entries = []
    for size in MOBILENET_SIZES:
        shape, full = (1, 3, size, size), size == 224
        for width in MOBILENET_WIDTHS[1]:
            builder = partial(mobilenet.mobilenet_v1, width)
            entries.append(Entry(f"mobilenet_v1_{width:g}_{size}", builder, shape, core=full and width == 1))
        for width in MOBILENET_WIDTHS[2]:
            builder = partial(mobilenet.mobilenet_v2, width)
            entries.append(Entry(f"mobilenet_v2_{width:g}_{size}", builder, shape, core=full and width == 1))
        for form in ("small", "large"):
            for width in MOBILENET_WIDTHS[3]:
                for minimal in (False, True):
                    builder = partial(mobilenet.mobilenet_v3, form, width, minimalistic=minimal)
                    name = f"mobilenet_v3_{form}{'_minimalistic' if minimal else ''}_{width:g}_{size}"
                    entries.append(Entry(name, builder, shape, core=full and width == 1))
    return entries


def _efficientnets() -> list[Entry]:
    return [
        Entry(f"efficientnet_lite{n}", partial(efficientnet.efficientnet_lite, n), (1, 3, size, size), core=n == 0)
        for n, (_, _, size) in enumerate(efficientnet.VARIANTS)
    ]


def _others() -> list[Entry]:
    picture = (1, 3, 224, 224)
    return [
        Entry("resnet8", resnet.resnet8, (1, 3, 32, 32)),
        Entry("resnet20", resnet.resnet20, (1, 3, 32, 32)),
        Entry("resnet50", resnet.resnet50, picture),
        Entry("mnasnet_1", searched.mnasnet, picture),
        Entry("mnasnet_0.5", partial(searched.mnasnet, 0.5), picture, core=False),
        Entry("mcunet_like_80", searched.mcunet_like, (1, 3, 80, 80)),
        Entry("mcunet_like_160", partial(searched.mcunet_like, 1.0, 1000), (1, 3, 160, 160), core=False),
        Entry("shufflenet_v2_0.5", partial(shufflenet.shufflenet_v2, 0.5), picture, core=False),
        Entry("shufflenet_v2_1", shufflenet.shufflenet_v2, picture),
        Entry("squeezenet", squeezenet.squeezenet, picture),
        Entry("convnext_tiny", convnext.convnext_tiny, picture),
        Entry("vit_tiny", transformer.vit_tiny, picture),
        Entry("small_gpt", transformer.small_gpt, (1, 64), tokens=256),
        Entry("lstm_tagger", partial(taggers.Tagger, nn.LSTM), (1, 32), tokens=500),
        Entry("gru_tagger", partial(taggers.Tagger, nn.GRU), (1, 32), tokens=500),
        Entry("bilstm_tagger", partial(taggers.Tagger, nn.LSTM, bidirectional=True), (1, 32), tokens=500),
        Entry("unet", unets.UNet, (1, 3, 128, 128)),
        Entry("unet_resized", partial(unets.UNet, resized=True), (1, 3, 128, 128)),
        Entry("audio_stft", audio.KeywordSpotter, (1, 16_000)),
    ]
