"""The planner on real files, against what TFLM itself does with them."""

from pathlib import Path

import numpy as np
import pytest

from edgec.backends.tflite.serialize import serialize
from edgec.frontends.tflite import load_tflite, read_tflite
from edgec.memory.allocate import greedy_by_size, plan_memory
from edgec.memory.live_range import live_ranges, planned_values
from edgec.memory.schedule import schedule_ops
from edgec.memory.tflm_metadata import LEFT_TO_RUNTIME, METADATA_NAME, encode_offline_plan
from edgec.memory.verify import verify_plan


@pytest.mark.parametrize(
    ("name", "stock", "planned"),
    [
        ("mlperf_tiny/vww_96_int8", 73_728, 55_296),
        ("mlperf_tiny/kws_ref_model", 16_000, 16_000),
        ("mlperf_tiny/pretrainedResnet_quant", 49_152, 49_152),
        ("mlperf_tiny/ad01_int8", 768, 768),
        ("mlperf_tiny/str_ww_ref_model", 6_656, 6_656),
        ("tflm/person_detect", 55_296, 55_296),
        ("micro_wake_word/okay_nabu_v2", 4_096, 4_032),  # resource handles, call_once
    ],
)
def test_plan(shared_data: Path, name: str, stock: int, planned: int) -> None:
    """`stock` is the head TFLM reports for these files; its kernels ask for no scratch at their peak."""
    module = load_tflite(shared_data / "models" / f"{name}.tflite")
    ranges = live_ranges(module.main, module=module)
    plan = plan_memory(ranges)
    verify_plan(ranges, plan)
    assert greedy_by_size(ranges).peak_bytes == stock
    assert plan.peak_bytes == plan.lower_bound_bytes == planned
    assert schedule_ops(module.main, module).method == "as given"


@pytest.mark.mcu
def test_tflm_follows_the_plan_with_equal_outputs(shared_data: Path) -> None:
    pytest.importorskip("tflite_micro", reason="the extra 'mcu' is not installed")
    from edgec.runtime.tflm import TFLMSession

    module = load_tflite(shared_data / "models" / "mlperf_tiny" / "vww_96_int8.tflite")
    plain = serialize(module)
    plan = plan_memory(live_ranges(module.main))
    offsets = {v.name: offset for v, offset in zip(planned_values(module.main), plan.offsets)}
    tensors = read_tflite(plain).main.declared
    module.metadata[METADATA_NAME] = encode_offline_plan([offsets.get(v.name, LEFT_TO_RUNTIME) for v in tensors])
    planned = serialize(module)

    before, after = TFLMSession(plain, 1 << 20), TFLMSession(planned, 1 << 20)
    rng = np.random.default_rng(0)
    for _ in range(3):
        feed = [rng.integers(-128, 128, (1, 96, 96, 3), dtype=np.int8)]
        np.testing.assert_array_equal(before.run(feed)[0], after.run(feed)[0])
    assert (before.allocations().head_bytes, after.allocations().head_bytes) == (73_728, 55_296)
