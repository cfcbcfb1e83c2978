"""The terminal summary of a report."""

import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from edgec.report.figures import (
    UNKNOWN,
    VERDICT_WORDS,
    band_text,
    bytes_text,
    count_text,
    db_text,
    fraction_text,
    mj_text,
    ms_text,
    number_text,
    percent_text,
    printable,
    shortened,
    unit_text,
)
from edgec.report.model import BudgetLine, Check, Diagnostic, Layer, OutputCheck, Report

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

COSTLY_LAYERS = 5
WIDE_COLUMNS = 76
SHOWN_DIAGNOSTICS = 20
VERDICT_STYLES = {"fits": "green", "misses": "bold red", "uncertain": "yellow", "unknown": "dim"}
SEVERITY_STYLES = {"error": "bold red", "warning": "yellow", "note": "dim"}
PLAIN_CHARACTERS = str.maketrans({"→": "->", "–": "-", "…": "~", "µ": "u", "×": "x", "≤": "<="})


def render_summary(report: Report, console: "Console") -> None:
    """Print the summary of a compile; it needs 80 columns and says the same without colour.

    Names from the model are printed literally: neither rich's markup nor terminal escapes in them take effect.
    """
    _print_heading(report, console)
    _print_facts(_facts(report), console)
    if report.budget:
        _print_budget(report, console)
    _print_layers(report, console)
    _print_diagnostics(report, console)


def text_for(console: "Console", content: str, style: str = "") -> "Text":
    """Return literal text in characters that the console's encoding has."""
    from rich.text import Text

    if console.options.ascii_only:
        content = content.translate(PLAIN_CHARACTERS).encode("ascii", "backslashreplace").decode("ascii")
    return Text(content, style=style)


def _print_heading(report: Report, console: "Console") -> None:
    device = report.device
    name = f"{device.title} ({device.name})" if device.title else device.name
    heading = text_for(console, f"{printable(report.model.name)} → {printable(name)}", "bold")
    library = f", {printable(device.kernel_library)}" if device.kernel_library else ""
    verdict = text_for(
        console, f"{VERDICT_WORDS[report.verdict].upper()}: {verdict_detail(report)}", VERDICT_STYLES[report.verdict]
    )
    console.print(heading, soft_wrap=False)
    console.print(text_for(console, f"target {printable(device.target)}{library}", "dim"))
    console.print()
    console.print(verdict)
    console.print()


def verdict_detail(report: Report) -> str:
    """Return the budget lines that decide the verdict, with value and limit."""
    if not report.budget:
        return "no budget was given"
    if report.verdict == "fits":
        return "every line holds"
    deciding = [_against_limit(line) for line in report.budget if line.verdict == report.verdict]
    return "; ".join(deciding) or "no single line of the budget decides it"


def _against_limit(line: BudgetLine) -> str:
    name, limit = printable(line.name), unit_text(line.limit, line.unit)
    if line.verdict == "uncertain":
        return f"{name} {band_text(line.low, line.high, line.unit)} reaches across {limit}"
    if line.value is None:
        return f"{name} is not known"
    return f"{name} {unit_text(line.value, line.unit)} against {limit}"


def _facts(report: Report) -> Iterable[tuple[str, str]]:
    """Yield label and text of the figures, leaving out what is not known or does not apply."""
    yield "Scheme", _scheme(report)
    yield "Size", _size(report)
    yield "Work", _work(report)
    latency, energy, memory = report.latency, report.energy, report.memory
    band = band_text(latency.low_ms, latency.high_ms, "ms")
    yield "Latency", _figure(ms_text(latency.ms), band, latency.evidence, latency.basis)
    if latency.measured_here_ms is not None:
        yield "", f"{ms_text(latency.measured_here_ms)} measured on this machine, which is not the device"
    yield "RAM", _ram(report)
    planned = _planned(report)
    if planned:
        yield "", planned
    if memory.flash_bytes is not None:
        share = percent_text(memory.flash_bytes, report.device.flash_bytes)
        of = f"{share} of {bytes_text(report.device.flash_bytes)}" if share else ""
        code = f"runtime code {bytes_text(memory.runtime_code_bytes)}" if memory.runtime_code_bytes else ""
        yield (
            "Flash",
            _figure(bytes_text(memory.flash_bytes), "", memory.flash_evidence, ", ".join(filter(None, (of, code)))),
        )
    if energy.mj is not None:
        power = f"at {number_text(energy.average_power_mw)} mW" if energy.average_power_mw else energy.basis
        yield (
            "Energy",
            _figure(mj_text(energy.mj), band_text(energy.low_mj, energy.high_mj, "mJ"), energy.evidence, power),
        )
    yield from _check_facts(report)
    if report.transposes.count:
        yield "Transposes", f"{report.transposes.count} remain in the artifact"
    yield "Artifact", printable(report.artifact.path)


def _figure(value: str, band: str, evidence: str, basis: str | None) -> str:
    if value == "unknown":
        return "unknown"
    between = f" ({band})" if band else ""
    return f"{value}{between}, {evidence}" + (f"; {printable(basis)}" if basis else "")


def _scheme(report: Report) -> str:
    calibration = report.calibration
    if calibration is None:
        return printable(report.artifact.scheme)
    samples = "1 sample" if calibration.samples == 1 else f"{calibration.samples} samples"
    return f"{printable(report.artifact.scheme)}, calibrated on {samples} ({printable(calibration.method)})"


def _size(report: Report) -> str:
    compression = report.compression
    before = compression.bytes_before if compression else report.model.bytes
    return _change(before, report.artifact.bytes, bytes_text)


def _work(report: Report) -> str:
    compression = report.compression
    before = compression.macs_before if compression else None
    after = compression.macs_after if compression else report.model.macs
    text = _change(before, after, count_text, " MACs")
    if compression and (compression.dead_channels or compression.pruned_channels):
        removed = [f"{compression.dead_channels} dead" if compression.dead_channels else ""]
        removed.append(f"{compression.pruned_channels} pruned" if compression.pruned_channels else "")
        text += f"; channels removed: {', '.join(filter(None, removed))}"
    return text


def _change(before: float | None, after: float | None, form: Callable[[float | None], str], noun: str = "") -> str:
    if after is None:
        return UNKNOWN
    if not before or before == after:
        return f"{form(after)}{noun}"
    return f"{form(before)} → {form(after)}{noun} ({100 * (after - before) / before:+.0f} %)"


def _ram(report: Report) -> str:
    memory = report.memory
    if memory.arena_bytes is None:
        text = _figure(bytes_text(memory.planned_activation_bytes), "", memory.evidence, None)
        return f"activations {text}" if memory.planned_activation_bytes is not None else "unknown"
    share = percent_text(memory.arena_bytes, report.device.sram_bytes)
    of = f"; {share} of {bytes_text(report.device.sram_bytes)}" if share else ""
    proof = "; 16 B less fails" if memory.smaller_arena_fails else ""
    return f"arena {bytes_text(memory.arena_bytes)} ({memory.arena_bytes:,} B), {memory.evidence}{proof}{of}"


def _planned(report: Report) -> str:
    memory = report.memory
    parts = []
    if memory.arena_bytes is not None and memory.planned_activation_bytes is not None:
        parts.append(f"activations {bytes_text(memory.planned_activation_bytes)}")
    if memory.lower_bound_bytes is not None:
        parts.append(f"lower bound {bytes_text(memory.lower_bound_bytes)}")
    if memory.tflm_greedy_bytes is not None:
        parts.append(f"TFLM's own planner {bytes_text(memory.tflm_greedy_bytes)}")
    return ", ".join(parts)


def _check_facts(report: Report) -> Iterable[tuple[str, str]]:
    checks, accuracy = report.checks, report.accuracy
    if checks.float_vs_source:
        against = printable(checks.float_vs_source.reference or "the source")
        yield "Checks", f"float against {against}: {check_text(checks.float_vs_source)}"
    if checks.artifact_vs_float:
        label = "" if checks.float_vs_source else "Checks"
        against = printable(checks.artifact_vs_float.reference or "the float module")
        yield label, f"artifact against {against}: {check_text(checks.artifact_vs_float)}"
    if checks.cross_check:
        label = "" if checks.float_vs_source or checks.artifact_vs_float else "Checks"
        against = printable(checks.cross_check.reference or "another translation")
        yield label, f"float against {against}: {agreement_text(checks.cross_check)}"
    if checks.bit_exact_of:
        against = f" with {printable(checks.bit_exact_against)}" if checks.bit_exact_against else ""
        yield "", f"{checks.bit_exact_runs or 0} of {checks.bit_exact_of} runs byte-identical{against}"
    if not any((checks.float_vs_source, checks.artifact_vs_float, checks.cross_check, checks.bit_exact_of)):
        yield "Checks", "none were made"
    for note in checks.notes:
        yield "", printable(note)
    if accuracy is None:
        yield "Accuracy", "not measured: no labelled data was given"
        return
    form = fraction_text if accuracy.metric in ("top1", "top5", "auc", "accuracy") else number_text
    drop = "" if accuracy.drop is None else f" (drop {form(accuracy.drop)})"
    scores = f"{printable(accuracy.metric)} {form(accuracy.float_)} → {form(accuracy.artifact)}"
    yield "Accuracy", f"{scores}{drop}, {accuracy.samples} samples"


def check_text(check: Check) -> str:
    """Return a comparison in a few words, its failure first."""
    parts = ["FAILED"] if check.passed is False else []
    if not check.finite:
        parts.append("NaN or infinity in the outputs")
    if check.identical:
        parts.append("identical")
    else:
        if check.max_rel_to_range is not None:
            parts.append(f"max error {check.max_rel_to_range:.1e} of the range")
        elif check.max_abs_error is not None:
            parts.append(f"max error {check.max_abs_error:.1e}")
        if check.sqnr_db is not None:
            parts.append(f"SQNR {db_text(check.sqnr_db)}")
    if check.top1_agreement is not None and not check.identical:
        parts.append(f"top-1 agrees {fraction_text(check.top1_agreement)}")
    if check.worst_layer and not check.identical:
        parts.append(f"worst layer {shortened(check.worst_layer, 30)}")
    return ", ".join(parts) or "no figures"


def agreement_text(check: Check) -> str:
    """Return whether two translations agree, by how much at which output, and what would have been allowed."""
    found = check_text(check.model_copy(update={"passed": None}))
    parts = [f"{'DISAGREE' if check.passed is False else 'agree'}, {found}"]
    if check.outputs and not check.identical:
        parts.append(f"worst at {shortened(worst_output(check.outputs).output, 30)}")
    if check.tolerance:
        parts.append(f"tolerance {printable(check.tolerance)}")
    return ", ".join(parts)


def worst_output(outputs: list[OutputCheck]) -> OutputCheck:
    """Return the output with the largest error relative to its range; one that is not finite comes first."""
    return max(outputs, key=lambda o: math.inf if o.max_rel_to_range is None else o.max_rel_to_range)


def _print_facts(facts: Iterable[tuple[str, str]], console: "Console") -> None:
    from rich.table import Table

    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="dim")
    table.add_column(overflow="fold")
    for label, content in facts:
        table.add_row(text_for(console, label), text_for(console, content))
    console.print(table)
    console.print()


def _print_budget(report: Report, console: "Console") -> None:
    wide = console.width >= WIDE_COLUMNS
    table = _table("Budget", "limit", "value", "band", *(["evidence"] if wide else []), "verdict")
    for line in report.budget:
        style = VERDICT_STYLES[line.verdict]
        limit, value = unit_text(line.limit, line.unit), unit_text(line.value, line.unit)
        band = band_text(line.low, line.high, line.unit)
        evidence = [line.evidence] if wide else []
        cells = [text_for(console, cell) for cell in (shortened(line.name, 18), limit, value, band, *evidence)]
        table.add_row(*cells, text_for(console, line.verdict, style))
    console.print(table)
    for line in report.budget:
        if line.note:
            console.print(text_for(console, f" {shortened(line.name, 18)}: {printable(line.note)}", "dim"))
    console.print()


def costliest_layers(layers: list[Layer], count: int) -> tuple[str, list[tuple[Layer, float]]]:
    """Return what cost is judged by ('latency' or 'MACs') and the costliest layers with their share of the whole."""
    by_latency = any(layer.latency_ms for layer in layers)

    def cost(layer: Layer) -> float:
        return float((layer.latency_ms if by_latency else layer.macs) or 0)

    total = sum(map(cost, layers))
    ranked = sorted((layer for layer in layers if cost(layer) > 0), key=lambda layer: (-cost(layer), layer.index))
    return "latency" if by_latency else "MACs", [(layer, cost(layer) / total) for layer in ranked[:count]]


def _print_layers(report: Report, console: "Console") -> None:
    basis, costly = costliest_layers(report.layers, COSTLY_LAYERS)
    if not costly:
        return
    table = _table("Costliest layers", "op", "MACs", "latency", "live", "share")
    for layer, share in costly:
        latency, live = ms_text(layer.latency_ms), bytes_text(layer.live_bytes)
        cells = (
            shortened(layer.name, 20),
            shortened(layer.op, 18),
            count_text(layer.macs),
            latency,
            live,
            f"{share:.0%}",
        )
        table.add_row(*(text_for(console, "" if cell == "unknown" else cell) for cell in cells))
    console.print(table)
    console.print(text_for(console, f" {len(costly)} of {len(report.layers)} layers, share of {basis}", "dim"))
    console.print()


def messages(report: Report) -> list[Diagnostic]:
    """Return the diagnostics, and a note for each transpose that stays, the gravest first."""
    stays = [Diagnostic(severity="note", message=f"a transpose stays: {why}") for why in report.transposes.reasons]
    order = list(SEVERITY_STYLES)
    return sorted([*report.diagnostics, *stays], key=lambda item: order.index(item.severity))


def _print_diagnostics(report: Report, console: "Console") -> None:
    found = messages(report)
    if not found:
        return
    from rich.table import Table

    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for item in found[:SHOWN_DIAGNOSTICS]:
        message = f"{printable(item.op)}: {printable(item.message)}" if item.op else printable(item.message)
        table.add_row(text_for(console, item.severity, SEVERITY_STYLES[item.severity]), text_for(console, message))
    console.print(table)
    if len(found) > SHOWN_DIAGNOSTICS:
        console.print(text_for(console, f"and {len(found) - SHOWN_DIAGNOSTICS} more in report.json", "dim"))


def _table(first: str, *others: str) -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=True, padding=(0, 1), show_edge=False, header_style="bold")
    table.add_column(first, overflow="fold")
    for heading in others:
        words = heading in ("op", "evidence", "verdict")
        # crop, since rich's own ellipsis is not in every terminal's encoding
        table.add_column(heading, justify="left" if words else "right", no_wrap=True, overflow="crop")
    return table
