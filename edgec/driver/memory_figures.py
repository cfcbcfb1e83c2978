"""Memory of an artifact: the plan of its activations, and for microcontrollers the arena in which it really ran."""

from __future__ import annotations

from dataclasses import dataclass

from edgec.backends.tflite import serialize
from edgec.cost.estimate import Estimate, Evidence
from edgec.frontends.tflite import read_tflite
from edgec.ir.graph import Module
from edgec.memory.allocate import greedy_by_size, plan_memory
from edgec.memory.live_range import live_ranges, planned_values
from edgec.memory.plan import LiveRange, MemoryPlan
from edgec.memory.schedule import schedule_ops
from edgec.memory.tflm_metadata import LEFT_TO_RUNTIME, METADATA_NAME, encode_offline_plan
from edgec.memory.verify import verify_plan
from edgec.runtime.smallest_arena import ArenaMeasurement, smallest_arena
from edgec.target.device import Device


@dataclass(frozen=True)
class MemoryFigures:
    """Planned and, where a microcontroller is the target, executed memory; sizes in bytes.

    `live_bytes` holds, for each op of the main graph, the activations alive while it runs.
    """

    plan: MemoryPlan
    greedy_bytes: int
    live_bytes: tuple[int, ...]
    arena: ArenaMeasurement | None


def plan_module(module: Module) -> MemoryFigures:
    """Plan the main graph's activations and check the plan."""
    ranges = live_ranges(module.main, module=module)
    plan = plan_memory(ranges)
    verify_plan(ranges, plan)
    return MemoryFigures(plan, greedy_by_size(ranges).peak_bytes, _live_bytes(ranges, len(module.main)), None)


def reorder_ops(module: Module) -> str | None:
    """Put the main graph's ops into an order that needs a smaller arena; says what it saves, None where nothing.

    Branches that are written side by side keep all their values alive: one after the other needs less. What TFLM then
    plans with is compared (our offsets, or for several graphs those of its own planner), so no order is taken that only
    looks better.
    """
    graph = module.main
    given = list(graph.ops)
    schedule = schedule_ops(graph, module)
    if schedule.peak_bytes >= schedule.given_peak_bytes:
        return None
    before = _needed(module)
    graph.set_order([given[position] for position in schedule.order])
    after = _needed(module)
    if after >= before:
        graph.set_order(given)
        return None
    return f"the ops run in another order than in the source: {after:,} instead of {before:,} bytes of activations"


def _needed(module: Module) -> int:
    figures = plan_module(module)
    return figures.plan.peak_bytes if len(module.graphs) == 1 else figures.greedy_bytes


def _live_bytes(ranges: tuple[LiveRange, ...], steps: int) -> tuple[int, ...]:
    change = [0] * (steps + 1)
    for r in ranges:
        change[min(r.first, steps)] += r.bytes
        if r.last + 1 <= steps:
            change[r.last + 1] -= r.bytes
    live, total = [], 0
    for step in range(steps):
        total += change[step]
        live.append(total)
    return tuple(live)


def execute_arena(artifact: bytes, figures: MemoryFigures) -> MemoryFigures:
    """The figures with the smallest arena in which TFLM runs the artifact."""
    return MemoryFigures(figures.plan, figures.greedy_bytes, figures.live_bytes, smallest_arena(artifact))


def embed_plan(module: Module, figures: MemoryFigures) -> bool:
    """Put the plan into the module's metadata where TFLM's own planner would need more; True where it was put there.

    Only for a single graph: TFLM applies one list of offsets to every subgraph.
    """
    module.metadata.pop(METADATA_NAME, None)
    if len(module.graphs) != 1 or figures.plan.peak_bytes >= figures.greedy_bytes:
        return False
    offsets = {value.name: offset for value, offset in zip(planned_values(module.main), figures.plan.offsets)}
    written = read_tflite(serialize(module)).main.declared
    names = [value.name for value in written]
    if len(set(names)) != len(names):
        return False  # tensors can't be told apart by name
    module.metadata[METADATA_NAME] = encode_offline_plan([offsets.get(name, LEFT_TO_RUNTIME) for name in names])
    return True


def estimate_ram(figures: MemoryFigures, module_bytes: int, device: Device) -> Estimate:
    """RAM of one inference.

    A microcontroller: the executed arena plus what the runtime needs beside it, where the profile says. Elsewhere:
    planned activations plus the model, which is mapped or read into memory; the high end adds a packed copy of it.
    """
    if figures.arena is not None:
        floor = device.runtime_floor
        beside = floor.ram_bytes if floor is not None and floor.ram_bytes is not None else 0
        basis = "smallest arena that runs in TFLM on this host (a 32-bit device needs a few per cent less)"
        return Estimate.exact(figures.arena.arena_bytes + beside, Evidence.EXECUTED, basis)
    planned = figures.plan.peak_bytes
    basis = "planned activations + model; high: + a packed copy of the weights"
    return Estimate(planned + module_bytes, planned, planned + 2 * module_bytes, Evidence.PLANNED, basis)
