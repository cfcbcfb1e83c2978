"""Every shared `.tflite` verifies; known MAC counts come out."""

from pathlib import Path

import pytest

from edgec.frontends.tflite import load_tflite
from edgec.ops import definition, verify

# MACs counted by hand or published; MobileNetV1 0.25 at 128: 14 M of arXiv:1704.04861, rounded there.
MACS = {
    "mlperf_tiny/ad01_int8.tflite": 264_192,  # 640*128 + 3*128*128 + 128*8 + 8*128 + 3*128*128 + 128*640
    "mlperf_tiny/kws_ref_model.tflite": 2_656_768,
    "mlperf_tiny/pretrainedResnet_quant.tflite": 12_501_632,
    "mlperf_tiny/vww_96_int8.tflite": 7_489_664,
    "coral/mobilenet_v1_0.25_128_quant.tflite": 13_570_304,
}


def test_every_shared_file_verifies_and_has_only_known_ops(shared_data: Path) -> None:
    paths = sorted((shared_data / "models").rglob("*.tflite"))
    assert paths
    for path in paths:
        module = load_tflite(path)
        verify(module)
        unknown = {op.opcode for graph in module.graphs for op in graph.ops if definition(op) is None}
        assert not unknown, f"{path.name}: {unknown}"


@pytest.mark.parametrize("name", MACS)
def test_macs_of_known_models(shared_data: Path, name: str) -> None:
    module = load_tflite(shared_data / "models" / name)
    assert sum(d.macs(op) for op in module.main.ops if (d := definition(op))) == MACS[name]


def test_versions_written_anew_are_never_above_what_litert_knows_nor_odd(shared_data: Path) -> None:
    """A version of our own differs from the converter's only where the converter's is known to be generous."""
    differing = set()
    for path in sorted((shared_data / "models").rglob("*.tflite")):
        for graph in load_tflite(path).graphs:
            for op in graph.ops:
                found = definition(op)
                assert found is not None
                own = found.version if isinstance(found.version, int) else found.version(op)
                if own != op.version:
                    differing.add((op.opcode, op.version, own))
    assert differing == {
        ("conv_2d", 2, 3),  # person_detect: written before int8 had a version of its own
        ("depthwise_conv_2d", 2, 1),  # one opcode entry for all, some of which are dilated
        ("fully_connected", 3, 1),  # one opcode entry for all, some of which are hybrid
    }
