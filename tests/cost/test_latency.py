"""The roofline, energy and flash on a device of round numbers, worked out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgec.cost.energy import estimate_energy
from edgec.cost.estimate import Estimate, Evidence
from edgec.cost.flash import estimate_flash
from edgec.cost.kernel_class import KernelClass, kernel_class
from edgec.cost.latency import compute_dtype, estimate_latency
from edgec.ir.dtype import DType
from edgec.ir.graph import Graph, Module, Op, Value
from edgec.ir.types import TensorType
from edgec.ops import build
from edgec.schema.defaults import default_attributes
from edgec.target.device import Device
from edgec.target.load import load_device

ROUND = {
    "cycles_per_mac": {"pointwise": 2, "conv": 3, "first_conv": 5, "depthwise": 7, "fully_connected": 11},
    "cycles_per_output_element": 10,
    "cycles_per_op": 100,
    "thread_speedup": 2,
    "band": {"low": 0.5, "high": 3},
    "kind": "derived",
    "source": "made up",
}


def device(**changes: Any) -> Device:
    """rpi4's profile with 1 MHz, no memory limit and the round costs above for fp32 and int8."""
    base = load_device("rpi4")
    fields = base.model_dump(by_alias=True) | {"resolved_target": base.target, "name": "round", "evidence": {}}
    fields["cpu"] = fields["cpu"] | {"clock_hz": 1_000_000}
    fields["dram_bandwidth_bytes_per_s"] = None
    fields["kernel_libraries"] = {"xnnpack": {"fp32": ROUND, "int8": {**ROUND, "band": {"low": 1, "high": 1}}}}
    return Device.model_validate(fields | changes)


def conv(graph: Graph, x: Value, filters: int, side: int) -> Value:
    emit = build(graph)
    weight = emit.constant(np.zeros((filters, side, side, x.shape[3]), x.dtype.numpy))
    bias = emit.constant(np.zeros(filters, np.int32 if x.dtype is DType.INT8 else np.float32))
    return emit.emit("conv_2d", [x, weight, bias], stride_h=1, stride_w=1, padding="SAME")


def image(graph: Graph, channels: int, dtype: DType = DType.FLOAT32) -> Value:
    return graph.add_input("x", TensorType((1, 4, 4, channels), dtype))


def test_kernel_classes() -> None:
    graph = Graph()
    first = conv(graph, image(graph, 3), 8, 3)
    ops = {
        KernelClass.FIRST_CONV: first,
        KernelClass.CONV: conv(graph, first, 4, 3),
        KernelClass.POINTWISE: conv(graph, first, 4, 1),
        KernelClass.OTHER: build(graph).emit("relu", [first]),
    }
    for wanted, result in ops.items():
        assert result.producer is not None
        assert kernel_class(result.producer) is wanted


def test_compute_bound_chain_by_hand() -> None:
    graph = Graph()
    first = conv(graph, image(graph, 3), 8, 3)
    second = conv(graph, first, 4, 1)
    graph.outputs = [build(graph).emit("relu", [second])]
    found = estimate_latency(Module([graph]), device())
    # cycles at 1 MHz are microseconds: macs * cycles / 2 threads + 100; relu: 64 elements * 10 + 100, on one thread
    first_ms = (16 * 8 * 27 * 5 / 2 + 100) / 1e3
    second_ms = (16 * 4 * 8 * 2 / 2 + 100) / 1e3
    relu_ms = (64 * 10 + 100) / 1e3
    assert found.per_op_ms == pytest.approx((first_ms, second_ms, relu_ms))
    total = first_ms + second_ms + relu_ms
    assert (found.total.value, found.total.low, found.total.high) == pytest.approx((total, total * 0.5, total * 3))
    assert found.total.evidence is Evidence.DERIVED
    assert found.total.basis == "roofline: Cortex-A72 at 1 MHz, 4 threads, xnnpack kernels"


def test_memory_bound_op_by_hand() -> None:
    graph = Graph()
    conv(graph, image(graph, 8), 4, 1)
    caches = {"l1d_bytes": 256, "l2_bytes": None, "l3_bytes": None}
    slow = device(dram_bandwidth_bytes_per_s=1000.0, caches=caches)
    weight_bytes, activation_bytes = 4 * (4 * 8 + 4), 4 * (16 * 8 + 16 * 4)
    seconds = (weight_bytes + activation_bytes - 256) / 1000
    assert estimate_latency(Module([graph]), slow).per_op_ms == pytest.approx((seconds * 1e3,))
    fits = device(dram_bandwidth_bytes_per_s=1000.0, caches={**caches, "l2_bytes": 1 << 20})
    assert estimate_latency(Module([graph]), fits).per_op_ms == pytest.approx((weight_bytes,))


def test_bands_of_two_dtypes_add_up() -> None:
    graph = Graph()
    x = image(graph, 8, DType.INT8)
    y = build(graph).emit("dequantize", [conv(graph, x, 4, 1)])
    graph.outputs = [build(graph).emit("relu", [y])]
    found = estimate_latency(Module([graph]), device())
    int8_ms = (16 * 4 * 8 + 100 + 64 * 10 + 100) / 1e3
    fp32_ms = (64 * 10 + 100) / 1e3
    assert found.total.value == pytest.approx(int8_ms + fp32_ms)
    assert found.total.high == pytest.approx(int8_ms + 3 * fp32_ms)


def test_bodies_count_as_part_of_the_op_that_calls_them() -> None:
    body = Graph("body")
    y = body.add_input("y", TensorType((1, 64), DType.FLOAT32))
    body.outputs = [build(body).emit("relu", [y])]
    main = Graph()
    condition = main.add_input("c", TensorType((1,), DType.BOOL))
    x = main.add_input("x", TensorType((1, 64), DType.FLOAT32))
    attributes = default_attributes("IfOptions") | {"then_subgraph_index": 1, "else_subgraph_index": 1}
    result = Value("z", TensorType((1, 64), DType.FLOAT32))
    main.append(Op("if", [condition, x], [result], attributes))
    main.outputs = [result]
    found = estimate_latency(Module([main, body]), device())
    assert found.per_op_ms == pytest.approx(((3 * (64 * 10 + 100)) / 1e3,))  # the op itself, then and else


def test_what_is_not_known_is_said() -> None:
    graph = Graph()
    build(graph).emit("relu", [image(graph, 1, DType.INT16)])
    found = estimate_latency(Module([graph]), device())
    assert found.per_op_ms == (None,)
    assert found.total == Estimate.unknown("the profile of round has no costs for int16 with xnnpack")
    host = estimate_latency(Module([graph]), load_device("host"))
    assert host.total == Estimate.unknown("host is measured, not estimated")


def test_handles_and_indices_need_no_table_of_their_own() -> None:
    """A microcontroller's profile has costs for int8 only, and a streaming int8 model must still have a latency."""
    only_int8 = device(kernel_libraries={"xnnpack": {"int8": ROUND}})
    graph = Graph()
    handle = build(graph).emit("var_handle", [])
    state = TensorType((1, 8), DType.INT8)
    value = build(graph).emit("read_variable", [handle], result_types=[state])
    build(graph).emit("shape", [value], out_type="INT32")
    found = estimate_latency(Module([graph]), only_int8)
    assert found.per_op_ms == pytest.approx((0.1, (8 * 10 + 100) / 1e3, (8 * 10 + 100) / 1e3))
    build(graph).emit("relu", [image(graph, 1)])
    assert estimate_latency(Module([graph]), only_int8).total.basis.endswith("no costs for fp32 with xnnpack")


def test_compute_dtypes() -> None:
    graph = Graph()
    emit = build(graph)
    x, q = image(graph, 8), image(graph, 8, DType.INT8)
    weight = emit.constant(np.zeros((4, 1, 1, 8), np.int8))
    bias = emit.constant(np.zeros(4, np.float32))
    hybrid = emit.emit_op("conv_2d", [x, weight, bias], stride_h=1, stride_w=1)
    quantize = emit.emit_op("quantize", [x], result_types=[TensorType(x.shape, DType.INT8)])
    assert [compute_dtype(op) for op in (hybrid, quantize, emit.emit_op("dequantize", [q]))] == ["w8", "int8", "int8"]


def test_energy_by_hand() -> None:
    power = {"active_mw": 2000.0, "active_low_mw": 1000.0, "active_high_mw": 4000.0, "supply": "wall"}
    latency = Estimate(10.0, 5.0, 30.0, Evidence.DERIVED, "roofline")
    found = estimate_energy(latency, device(power=power))
    assert (found.total.value, found.total.low, found.total.high) == (20.0, 5.0, 120.0)  # mJ = mW * ms / 1000
    assert (found.average_power_mw, found.total.basis) == (2000.0, "2000 mW active power (wall) x latency")
    assert estimate_energy(latency, device(power=None)).total == Estimate.unknown(
        "the profile of round states no power"
    )
    unknown = estimate_energy(Estimate.unknown("?"), device(power=power))
    assert (unknown.total, unknown.average_power_mw) == (Estimate.unknown("the latency is not known"), 2000.0)


def test_flash_by_hand() -> None:
    floor = {
        "code_bytes": 100, "code_low_bytes": 50, "code_high_bytes": 300, "kind": "calibrated", "source": "made up",
    }  # fmt: skip
    assert estimate_flash(1000, device(runtime_floor=floor)) == Estimate(
        1100, 1050, 1300, Evidence.CALIBRATED, "1000 B model + 100 B runtime code"
    )
    assert estimate_flash(1000, device(runtime_floor=None)) == Estimate.exact(
        1000, Evidence.PLANNED, "the model file alone; the runtime's code is not counted"
    )
