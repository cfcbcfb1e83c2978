"""Latency of one inference: per op, the larger of compute time and memory time (a roofline).

compute cycles = macs[class] * cycles_per_mac[class] / thread_speedup, or elements * cycles_per_output_element for ops
without MACs (elements of the largest operand or result, for a reduction reads more than it writes; those run on one
thread in TFLite's own kernels), plus cycles_per_op each.
memory seconds = bytes that the last-level cache cannot hold / dram_bandwidth. The band is the profile's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from edgec.cost.estimate import Estimate, Evidence
from edgec.cost.kernel_class import KernelClass, kernel_class
from edgec.cost.macs import op_cost
from edgec.ir.dtype import DType
from edgec.ir.graph import Module, Op, Value
from edgec.ops.control import calls_of
from edgec.target.device import Device, KernelCosts

FREE_OPCODES = {  # only overhead: LiteRT and TFLM share or copy the buffer, or hand out a handle
    "reshape", "squeeze", "expand_dims", "var_handle", "hashtable", "call_once",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class LatencyEstimate:
    """Latency in milliseconds, in total and for each op of the main graph in order (None: unknown)."""

    total: Estimate
    per_op_ms: tuple[float | None, ...]


def estimate_latency(
    module: Module, device: Device, kernel_library: str | None = None, *, dtype: str | None = None
) -> LatencyEstimate:
    """Estimate one inference of `module` on `device`; bodies count as part of the op that calls them.

    A loop of a constant number of steps counts each of them, another body or branch counts once.

    With `dtype` every op is priced as if it computed in that dtype ("int8", …), its bytes left as they are: what a
    float module would cost once quantized. What `call_once` runs before the first inference is counted too.
    """
    if device.latency_basis == "executed":
        reason = f"{device.name} is measured, not estimated"
        return LatencyEstimate(Estimate.unknown(reason), (None,) * len(module.main))
    library = kernel_library or device.default_kernel_library
    priced: list[tuple[float, KernelCosts]] = []
    per_op_ms: list[float | None] = []
    missing: set[str] = set()
    for op in module.main.ops:
        own = 0.0
        for inner, times in _with_bodies(op, module):
            costs = _costs(inner, device, library) if dtype is None else device.costs(dtype, library)
            if costs is None:
                missing.add(compute_dtype(inner))
                continue
            priced.append((times * op_seconds(inner, device, costs), costs))
            own += priced[-1][0]
        per_op_ms.append(own * 1e3)
    if missing:
        reason = f"the profile of {device.name} has no costs for {' and '.join(sorted(missing))} with {library}"
        return LatencyEstimate(Estimate.unknown(reason), (None,) * len(module.main))
    return LatencyEstimate(_total(priced, device, library), tuple(per_op_ms))


def _costs(op: Op, device: Device, library: str) -> KernelCosts | None:
    """The costs that price an op; overhead and integer bookkeeping cost about the same whatever the table's dtype."""
    costs = device.costs(compute_dtype(op), library)
    if costs is not None:
        return costs
    value = _computed_value(op)
    computes = value is not None and (value.dtype.is_float or value.dtype in _QUANTIZED)
    if computes and op.opcode not in FREE_OPCODES:
        return None
    return next(iter(device.kernel_libraries.get(library, {}).values()), None)


def _with_bodies(op: Op, module: Module, times: int = 1) -> Iterator[tuple[Op, int]]:
    """An op and the ops of the graphs it calls, theirs included, with how often each runs (there is no recursion)."""
    yield op, times
    for index, each in calls_of(op, module):
        for inner in module.graphs[index].ops:
            yield from _with_bodies(inner, module, times * each)


def _total(seconds: list[tuple[float, KernelCosts]], device: Device, library: str) -> Estimate:
    low = sum(s * costs.band.low for s, costs in seconds) * 1e3
    high = sum(s * costs.band.high for s, costs in seconds) * 1e3
    kinds = {costs.kind for _, costs in seconds}
    evidence = Evidence.CALIBRATED if kinds == {"calibrated"} else Evidence.DERIVED
    threads = f"{device.cpu.threads} thread{'s' if device.cpu.threads > 1 else ''}"
    clock = f"{(device.cpu.clock_hz or 0) / 1e6:.0f} MHz"
    basis = f"roofline: {device.cpu.core} at {clock}, {threads}, {library} kernels"
    return Estimate(sum(s for s, _ in seconds) * 1e3, low, high, evidence, basis)


def op_seconds(op: Op, device: Device, costs: KernelCosts) -> float:
    """Seconds one op takes on one device."""
    if all(v is None or v.is_constant for v in op.operands) and op.operands:
        return 0.0  # the dequantize of stored weights: done once when the model is loaded
    clock_hz = float(device.cpu.clock_hz or 0)
    return max(op_cycles(op, costs) / clock_hz, _memory_seconds(op, device))


def op_cycles(op: Op, costs: KernelCosts) -> float:
    """Core cycles of one op, overhead included."""
    if op.opcode in FREE_OPCODES:
        return costs.cycles_per_op
    macs = op_cost(op).macs
    group = kernel_class(op)
    if group is KernelClass.OTHER or not macs:
        elements = max((v.type.elements for v in (*op.results, *op.operands) if v is not None), default=0)
        return elements * costs.cycles_per_output_element + costs.cycles_per_op
    per_mac: float = getattr(costs.cycles_per_mac, group.value)
    return macs * per_mac / costs.thread_speedup + costs.cycles_per_op


def _memory_seconds(op: Op, device: Device) -> float:
    """Time to stream weights, and activations that the caches cannot hold, from memory."""
    if device.dram_bandwidth_bytes_per_s is None:
        return 0.0
    cost = op_cost(op)
    cache = max(device.caches.l3_bytes or 0, device.caches.l2_bytes or 0, device.caches.l1d_bytes or 0)
    activations = cost.read_bytes + cost.written_bytes
    streamed = cost.weight_bytes + max(0, activations - cache)
    return streamed / device.dram_bandwidth_bytes_per_s


_QUANTIZED = {DType.INT8: "int8", DType.UINT8: "int8", DType.INT16: "int16"}


def compute_dtype(op: Op) -> str:
    """The key of a profile's cost table: what the op computes in ("fp32", "w8" for hybrid, "int8", "int16").

    Indices, shapes and flags (int32, bool) count as "fp32".
    """
    value = _computed_value(op)
    dtype = value.dtype if value is not None else DType.FLOAT32
    if dtype in _QUANTIZED:
        return _QUANTIZED[dtype]
    weight = op.optional_operand(1)
    hybrid = weight is not None and weight.is_constant and weight.dtype in (DType.INT8, DType.INT4)
    return "w8" if hybrid and dtype is DType.FLOAT32 else "fp32"


def _computed_value(op: Op) -> Value | None:
    """The value whose dtype the op computes in: its first activation, or what it makes of that."""
    if op.opcode == "quantize":
        return op.results[0]
    values = [v for v in (*op.operands, *op.results) if v is not None and not v.dtype.is_opaque]
    return next((v for v in values if not v.is_constant), values[0] if values else None)
