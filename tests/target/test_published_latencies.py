"""The cost parameters of the profiles against published latencies: each must lie in the stated band.

Most of these rows are the very ones the parameters were set to by hand, so this guards against slips in the files; it
is no measure of how well the parameters predict a net they have not seen.

MACs by kernel class are worked out from the MobileNets' public definitions at 224 (V2: its classifier is counted as
pointwise) and from the MLPerf Tiny reference models: [pointwise, conv, first_conv, depthwise, fully_connected],
elements of ops without MACs, ops.
"""

import pytest

from edgec.target.device import CLASSES
from edgec.target.load import load_device

NETS = {
    "MobileNetV1": ([539_492_352, 0, 10_838_016, 17_385_984, 1_024_000], 2_024, 31),
    "MobileNetV2": ([269_221_120, 0, 10_838_016, 20_716_416, 0], 371_195, 68),
    "AD": ([0, 0, 0, 0, 264_192], 0, 10),
    "KWS": ([2_048_000, 0, 320_000, 288_000, 768], 140, 13),
    "IC": ([262_144, 11_796_480, 442_368, 0, 640], 28_810, 16),
    "VWW": ([6_193_152, 0, 497_664, 798_336, 512], 514, 31),
    "person_detect": ([6_193_664, 0, 165_888, 798_336, 0], 260, 31),
}


@pytest.mark.parametrize(
    ("device_name", "dtype", "net", "measured_ms"),
    [
        ("rpi4", "fp32", "MobileNetV1", 77),  # XNNPACK project table
        ("rpi4", "fp32", "MobileNetV2", 46),
        ("rpi4", "int8", "MobileNetV1", 24),
        ("rpi4", "int8", "MobileNetV2", 17),
        ("rpi4", "fp32", "MobileNetV1", 67.9),  # TFLite 2.4.1 with ruy, MLPerf Inference
        ("rpi4", "fp32", "MobileNetV2", 57.1),
        ("pixel2", "fp32", "MobileNetV1", 27),  # XNNPACK project table, big cores
        ("pixel2", "fp32", "MobileNetV2", 18),
        ("pixel3", "fp32", "MobileNetV1", 24.0),  # TFLite model table, four threads
        ("pixel3", "fp32", "MobileNetV2", 17.5),
        ("rpi5", "fp32", "MobileNetV1", 23.9),  # stand-in: RK3588S, the same cores at the same clock
        ("rpi5", "fp32", "MobileNetV2", 17.4),
        ("stm32l4r5", "int8", "AD", 8.60),  # MLPerf Tiny, microTVM with CMSIS-NN
        ("stm32l4r5", "int8", "IC", 389.6),
        ("stm32l4r5", "int8", "KWS", 99.8),
        ("stm32l4r5", "int8", "AD", 10.05),  # MLPerf Tiny v0.5, TFLM 2.3.1
        ("stm32l4r5", "int8", "IC", 704.2),
        ("stm32l4r5", "int8", "KWS", 181.9),
        ("stm32l4r5", "int8", "VWW", 599),  # the same round as given in MCU_FACTS; not in the CSV
        ("esp32s3", "int8", "person_detect", 47),  # esp-nn project, arena in internal RAM
    ],
)
def test_published_latency_lies_in_the_band(device_name: str, dtype: str, net: str, measured_ms: float) -> None:
    device = load_device(device_name)
    costs = device.costs(dtype)
    assert costs is not None
    assert device.cpu.clock_hz is not None
    macs, elements, ops = NETS[net]
    mac_cycles = sum(n * getattr(costs.cycles_per_mac, kind) for n, kind in zip(macs, CLASSES))
    cycles = mac_cycles / costs.thread_speedup + elements * costs.cycles_per_output_element + ops * costs.cycles_per_op
    ms = cycles / device.cpu.clock_hz * 1e3
    assert ms * costs.band.low <= measured_ms <= ms * costs.band.high


def test_reference_kernels_cost_several_times_the_fast_ones() -> None:
    for name in ("stm32l4r5", "stm32u585", "stm32h743", "rp2040", "esp32s3"):
        device = load_device(name)
        fast, reference = device.costs("int8"), device.costs("int8", "tflm-reference")
        assert fast is not None
        assert reference is not None
        assert reference.cycles_per_mac.pointwise > 2 * fast.cycles_per_mac.pointwise
