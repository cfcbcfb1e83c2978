"""The zoo's networks have as many parameters and multiplications as those they stand for have in print."""

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed (pip install 'edgec[torch]')")
pytestmark = pytest.mark.torch
BENCHMARKS = Path(__file__).resolve().parents[3] / "benchmarks"

# Parameters, batch norms' included and their statistics not: as torchvision states them in its list of weights.
TORCHVISION = {
    "mobilenet_v2_1_224": 3_504_872, "mobilenet_v3_large_1_224": 5_483_032, "mobilenet_v3_small_1_224": 2_542_856,
    "resnet50": 25_557_032, "mnasnet_1": 4_383_312, "mnasnet_0.5": 2_218_512, "squeezenet": 1_235_496,
    "shufflenet_v2_1": 2_278_604, "shufflenet_v2_0.5": 1_366_792, "convnext_tiny": 28_589_128,
}  # fmt: skip
# Millions of multiplications: tables 6 and 7 of Howard 2017, and the table of TF-slim's mobilenet/README.md.
MILLION_MACS = {
    "mobilenet_v1_1_224": 569, "mobilenet_v1_0.75_224": 325, "mobilenet_v1_0.5_224": 149, "mobilenet_v1_0.25_224": 41,
    "mobilenet_v1_1_128": 186, "mobilenet_v2_1_224": 300, "mobilenet_v2_1.4_224": 582, "mobilenet_v2_0.75_224": 209,
    "mobilenet_v2_0.5_224": 97, "mobilenet_v2_0.35_224": 59, "mobilenet_v3_large_1_224": 217,
    "mobilenet_v3_large_0.75_224": 155, "mobilenet_v3_large_minimalistic_1_224": 209,
}  # fmt: skip


def network_of(name: str, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, tuple[int, ...]]:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from zoo import networks  # type: ignore[import-not-found]

    entry = networks()[name]
    return entry.builder().eval(), entry.shape


@pytest.mark.parametrize("name", TORCHVISION)
def test_parameters_are_as_published(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    network, _ = network_of(name, monkeypatch)
    assert sum(parameter.numel() for parameter in network.parameters()) == TORCHVISION[name]


@pytest.mark.parametrize("name", MILLION_MACS)
def test_multiplications_are_as_published(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    network, shape = network_of(name, monkeypatch)
    macs = 0

    def count(part: Any, _: Any, output: Any) -> None:
        nonlocal macs
        macs += output.numel() * part.weight[0].numel()

    for part in network.modules():
        if isinstance(part, (torch.nn.Conv2d, torch.nn.Linear)):
            part.register_forward_hook(count)
    with torch.no_grad():
        network(torch.zeros(shape))
    assert macs / 1e6 == pytest.approx(MILLION_MACS[name], rel=0.015)
