"""Puts together the report of a compilation."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from edgec.compress.dead_channels import DEAD_CHANNELS
from edgec.cost.macs import module_macs, op_cost, parameter_count
from edgec.data.samples import SampleSet
from edgec.diagnostics import Note, Severity
from edgec.driver.accuracy import AccuracyFigures
from edgec.driver.budget_lines import verdict_of
from edgec.driver.figures import CostFigures
from edgec.driver.output import ARTIFACT_NAME
from edgec.driver.prune import Pruned
from edgec.driver.snapshot import Snapshot
from edgec.driver.source import SourceModel, versions
from edgec.driver.verification import Verification
from edgec.ir.graph import Module, Value
from edgec.passes.layout.move_transposes import remaining_transposes
from edgec.passes.manager import PassRecord
from edgec.report import model as rm
from edgec.target.device import Device

POOR_SQNR_DB = 10.0  # noise of a third of the signal's amplitude


@dataclass(frozen=True)
class ReportParts:
    """Everything a report is made of."""

    source: SourceModel
    device: Device
    kernel_library: str | None
    module: Module
    artifact: bytes
    scheme: str
    records: list[PassRecord]
    notes: list[Note]
    costs: CostFigures
    lines: list[rm.BudgetLine]
    verification: Verification
    accuracy: AccuracyFigures | None
    pruned: Pruned | None
    before: Snapshot | None
    samples: SampleSet | None
    calibration_method: str | None


def build_report(parts: ReportParts) -> rm.Report:
    """The report of one compilation."""
    return rm.Report(
        versions=versions({**parts.source.tool_versions, **parts.verification.tool_versions}),
        model=_model(parts),
        device=_device(parts),
        artifact=_artifact(parts),
        passes=[
            rm.PassRun(name=r.name, options=r.options, changed=r.changed, seconds=r.seconds, note=r.note or None)
            for r in parts.records
        ],
        layers=_layers(parts),
        memory=_memory(parts),
        latency=_latency(parts.costs),
        energy=_energy(parts.costs),
        checks=_checks(parts.verification),
        accuracy=_accuracy(parts.accuracy),
        budget=parts.lines,
        verdict=verdict_of(parts.lines),
        compression=_compression(parts),
        calibration=_calibration(parts),
        transposes=_transposes(parts.module),
        diagnostics=_diagnostics(parts),
    )


def _model(parts: ReportParts) -> rm.SourceModel:
    source, before = parts.source, parts.before
    return rm.SourceModel(
        name=source.module.name, source_path=str(source.path), format=source.format, sha256=source.sha256,
        macs=before.macs if before else module_macs(parts.module),
        parameters=before.parameters if before else parameter_count(parts.module),
        ops=before.ops if before else len(parts.module.main), bytes=source.bytes,
    )  # fmt: skip


def _device(parts: ReportParts) -> rm.Device:
    device = parts.device
    return rm.Device(
        name=device.name, target=device.target_name, title=device.title, core=device.cpu.core,
        kernel_library=parts.kernel_library or device.default_kernel_library, clock_hz=device.cpu.clock_hz,
        threads=device.cpu.threads, sram_bytes=device.sram_bytes, flash_bytes=device.flash_bytes,
    )  # fmt: skip


def _artifact(parts: ReportParts) -> rm.Artifact:
    main = parts.module.main
    return rm.Artifact(
        path=ARTIFACT_NAME, bytes=len(parts.artifact), sha256=hashlib.sha256(parts.artifact).hexdigest(),
        scheme=parts.scheme, inputs=[_tensor(v) for v in main.inputs],
        outputs=[_tensor(v, name) for v, name in zip(main.outputs, _output_names(parts.module))],
    )  # fmt: skip


def _output_names(module: Module) -> list[str]:
    """The outputs' names in the signature: a tensor that is returned twice, or is an input too, has but one of its own.

    A `.tflite` keeps its tensors' names, by which its users know them.
    """
    names = {i: name for s in module.signatures if s.graph_index == 0 for name, i in s.outputs}
    if module.source_format == "tflite" or len(module.signatures) != 1:
        names = {}
    return [names.get(i, value.name) for i, value in enumerate(module.main.outputs)]


def _tensor(value: Value, name: str | None = None) -> rm.TensorInfo:
    quant = value.quant if value.quant is not None and not value.quant.is_per_channel else None
    return rm.TensorInfo(
        name=name or value.name, shape=list(value.type.signature or value.shape), dtype=value.dtype.value,
        scale=quant.scale[0] if quant else None, zero_point=quant.zero_point[0] if quant else None,
    )  # fmt: skip


def _layers(parts: ReportParts) -> list[rm.Layer]:
    power = parts.costs.energy.average_power_mw
    layers = []
    rows = zip(parts.module.main.ops, parts.costs.latency.per_op_ms, parts.costs.memory.live_bytes)
    for index, (op, latency_ms, live) in enumerate(rows):
        cost = op_cost(op)
        energy = None if latency_ms is None or power is None else power * latency_ms / 1e3
        result = op.results[0] if op.results else None
        layers.append(
            rm.Layer(
                index=index, name=op.name, op=op.opcode, source=op.source or None, macs=cost.macs,
                weight_bytes=cost.weight_bytes, read_bytes=cost.read_bytes, written_bytes=cost.written_bytes,
                latency_ms=latency_ms, energy_mj=energy, live_bytes=live,
                output_shape=list(result.shape) if result is not None else None,
                dtype=result.dtype.value if result is not None else None,
            )
        )  # fmt: skip
    return layers


def _memory(parts: ReportParts) -> rm.Memory:
    figures, flash = parts.costs.memory, parts.costs.flash
    arena, plan = figures.arena, figures.plan
    floor = parts.device.runtime_floor
    ops = list(parts.module.main.ops)
    peak = ops[plan.peak_step].name if 0 <= plan.peak_step < len(ops) else None
    return rm.Memory(
        arena_bytes=arena.arena_bytes if arena else None,
        planned_activation_bytes=plan.peak_bytes,
        lower_bound_bytes=plan.lower_bound_bytes,
        persistent_bytes=arena.tail_bytes if arena else None,
        scratch_bytes=max(0, arena.head_bytes - plan.peak_bytes) if arena else None,
        weight_bytes=Snapshot.of(parts.module).constant_bytes,
        flash_bytes=None if flash.value is None else int(flash.value),
        peak_layer=peak,
        evidence="executed" if arena else "planned",
        flash_evidence=flash.evidence.value,
        runtime_code_bytes=floor.code_bytes if floor else None,
        tflm_greedy_bytes=figures.greedy_bytes if parts.device.target.runtime == "tflm" else None,
        smaller_arena_fails=arena.one_step_less_fails if arena else None,
        basis=parts.costs.ram.basis,
    )


def _latency(costs: CostFigures) -> rm.Latency:
    total = costs.latency.total
    return rm.Latency(
        ms=total.value, low_ms=total.low, high_ms=total.high, evidence=total.evidence.value, basis=total.basis,
    )  # fmt: skip


def _energy(costs: CostFigures) -> rm.Energy:
    total = costs.energy.total
    return rm.Energy(
        mj=total.value, low_mj=total.low, high_mj=total.high, average_power_mw=costs.energy.average_power_mw,
        evidence=total.evidence.value, basis=total.basis,
    )  # fmt: skip


def _checks(v: Verification) -> rm.Checks:
    return rm.Checks(
        float_vs_source=v.float_vs_source, artifact_vs_float=v.artifact_vs_float, bit_exact_runs=v.bit_exact_runs,
        bit_exact_of=v.bit_exact_of, bit_exact_against=v.bit_exact_against, source_runtime=v.source_runtime,
        artifact_runtime=v.artifact_runtime, notes=v.notes, cross_check=v.cross_check,
    )  # fmt: skip


def _accuracy(figures: AccuracyFigures | None) -> rm.Accuracy | None:
    if figures is None:
        return None
    return rm.Accuracy(
        metric=figures.metric, float_=figures.float_value, artifact=figures.artifact_value, drop=figures.drop.value,
        samples=figures.samples, source=figures.source,
    )  # fmt: skip


def _compression(parts: ReportParts) -> rm.Compression | None:
    before = parts.before
    if before is None:
        return None
    pruned = parts.pruned
    after = Snapshot.of(parts.module)
    return rm.Compression(
        scheme=parts.scheme,
        prune=pruned.request if pruned else None,
        pruned_channels=_pruned_channels(pruned),
        dead_channels=_dead_channels(parts.records),
        macs_before=before.macs,
        macs_after=after.macs,
        bytes_before=parts.source.bytes,
        bytes_after=len(parts.artifact),
        parameters_before=before.parameters,
        parameters_after=after.parameters,
        latency_ms_before=pruned.latency_ms[0] if pruned else None,
        latency_ms_after=pruned.latency_ms[1] if pruned else None,
        groups=_groups(pruned),
    )


def _groups(pruned: Pruned | None) -> list[rm.PrunedGroup]:
    if pruned is None or pruned.result is None:
        return []
    return [
        rm.PrunedGroup(name=g.name, channels_before=g.channels_before, channels_after=g.channels_after)
        for g in pruned.result.groups
    ]


def _pruned_channels(pruned: Pruned | None) -> int:
    return sum(g.channels_before - g.channels_after for g in _groups(pruned))


def _dead_channels(records: Sequence[PassRecord]) -> int:
    return sum(record.figures.get(DEAD_CHANNELS, 0) for record in records)


def _calibration(parts: ReportParts) -> rm.Calibration | None:
    if parts.samples is None or parts.calibration_method is None:
        return None
    samples = parts.samples
    return rm.Calibration(
        source=samples.origin, samples=samples.feed_count(), sha256=samples.fingerprint(),
        method=parts.calibration_method,
    )  # fmt: skip


def _transposes(module: Module) -> rm.Transposes:
    reasons = remaining_transposes(module)
    return rm.Transposes(count=len(reasons), reasons=reasons)


_SEVERITY: dict[Severity, rm.Severity] = {Severity.INFO: "note", Severity.WARNING: "warning"}


def _diagnostics(parts: ReportParts) -> list[rm.Diagnostic]:
    found = [*parts.notes, *parts.verification.warnings]
    notes = [rm.Diagnostic(severity=_SEVERITY[n.severity], op=n.where, message=n.message) for n in found]
    if parts.samples is not None:
        notes += [rm.Diagnostic(severity="note", op="calibration", message=text) for text in parts.samples.notes]
    if parts.pruned is not None and parts.pruned.note:
        notes.append(rm.Diagnostic(severity="note", op="prune_channels", message=parts.pruned.note))
    if parts.costs.missing:
        notes.append(rm.Diagnostic(severity="warning", message=parts.costs.missing))
    check = parts.verification.artifact_vs_float
    if check is not None and check.sqnr_db is not None and check.sqnr_db < POOR_SQNR_DB and parts.accuracy is None:
        message = (
            f"the artifact departs far from the float model (SQNR {check.sqnr_db:.1f} dB); "
            "measure its accuracy on labelled samples with --eval before it is used"
        )
        notes.append(rm.Diagnostic(severity="warning", op="accuracy", message=message))
    return notes
