"""The report as one HTML file that needs no network and runs no script but its own few lines.

Whatever a model file can name (tensors, layers, operators, paths) is escaped by the template engine, and the page's
content security policy forbids every load and every script except the one whose hash it states.
"""

import base64
import hashlib
from collections import defaultdict
from pathlib import Path
from typing import Any

from edgec.report import figures
from edgec.report.charts import MAX_COLUMNS, Bin, ColumnChart, StackedBar, bin_values, column_chart, stacked_bar
from edgec.report.figures import bytes_text, count_text, ms_text, printable, shortened, unit_text
from edgec.report.model import BudgetLine, Layer, Report
from edgec.report.text import check_text, costliest_layers, messages, verdict_detail

TEMPLATES = Path(__file__).parent / "templates"
MAX_TABLE_ROWS = 1000
COSTLY_LAYERS = 10
VERDICT_MARKS = {"fits": "✓", "misses": "✕", "uncertain": "≈", "unknown": "?"}


def render_html(report: Report) -> str:
    """Return report.html: the same report gives the same text."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        name=printable, short=shortened, bytes=bytes_text, count=count_text, ms=ms_text, mj=figures.mj_text,
        number=figures.number_text, fraction=figures.fraction_text, unit=unit_text,
    )  # fmt: skip
    style = (TEMPLATES / "report.css").read_text(encoding="utf-8")
    script = (TEMPLATES / "report.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    page = environment.get_template("report.html.j2").render(
        report=report, style=Markup(style), script=Markup(script), script_digest=digest, **_view(report)
    )
    return page if page.endswith("\n") else page + "\n"


def _view(report: Report) -> dict[str, Any]:
    """Return everything the template shows that is not a figure of the report itself."""
    basis, costly = costliest_layers(report.layers, COSTLY_LAYERS)
    rows = _table_rows(report.layers)
    return {
        "verdict_words": figures.VERDICT_WORDS[report.verdict],
        "verdict_detail": verdict_detail(report),
        "verdict_marks": VERDICT_MARKS,
        "tiles": _tiles(report),
        "messages": messages(report),
        "budget": [_budget_bar(line) for line in report.budget],
        "memory_chart": _memory_chart(report),
        "ram_bar": _ram_bar(report),
        "flash_bar": _flash_bar(report),
        "cost_chart": _cost_chart(report.layers),
        "cost_basis": basis,
        "costly": costly,
        "op_rows": _op_rows(report.layers),
        "rows": rows,
        "hidden_rows": len(report.layers) - len(rows),
        "check_text": lambda check: check_text(check.model_copy(update={"passed": None})),  # a chip says it
        "band": figures.band_text,
        "change": _change,
        "options_text": _options_text,
        "evidence": _evidence(report),
        "metric_form": _metric_form(report),
        "bytes_form": bytes_text,
        "count_form": count_text,
        "ms_form": ms_text,
    }


def _tiles(report: Report) -> list[dict[str, str]]:
    """Return the key figures: label, value, a line of detail, and the evidence they rest on."""
    latency, energy, memory = report.latency, report.energy, report.memory
    arena = memory.arena_bytes is not None
    ram = memory.arena_bytes if arena else memory.planned_activation_bytes
    ram_detail = figures.percent_text(ram, report.device.sram_bytes)
    tiles: list[tuple[str, str, str, str]] = [
        ("Latency", ms_text(latency.ms), figures.band_text(latency.low_ms, latency.high_ms, "ms"), latency.evidence),
        (
            "RAM: arena" if arena else "RAM: activations",
            bytes_text(ram),
            f"{ram_detail} of SRAM" if ram_detail else "",
            memory.evidence,
        ),
        ("Energy", figures.mj_text(energy.mj), figures.band_text(energy.low_mj, energy.high_mj, "mJ"), energy.evidence),
    ]
    share = figures.percent_text(memory.flash_bytes, report.device.flash_bytes)
    if memory.flash_bytes is not None:
        tiles.append(
            ("Flash", bytes_text(memory.flash_bytes), f"{share} of flash" if share else "", memory.flash_evidence)
        )
    compression = report.compression
    before = compression.bytes_before if compression else report.model.bytes
    tiles.append(("Model size", bytes_text(report.artifact.bytes), f"from {bytes_text(before)}" if before else "", ""))
    if report.accuracy is not None:
        form = _metric_form(report)
        drop = "" if report.accuracy.drop is None else f"drop {form(report.accuracy.drop)}"
        tiles.append((report.accuracy.metric, form(report.accuracy.artifact), drop, ""))
    keys = ("label", "value", "detail", "evidence")
    return [dict(zip(keys, tile)) for tile in tiles]


def _metric_form(report: Report) -> Any:
    metric = report.accuracy.metric if report.accuracy else ""
    return figures.fraction_text if metric in ("top1", "top5", "auc", "accuracy") else figures.number_text


def _budget_bar(line: BudgetLine) -> dict[str, Any]:
    """Return a budget line with the places of value, band and limit in percent of its track."""
    known = [value for value in (line.limit, line.value, line.low, line.high) if value is not None]
    track = max(known) * 1.12 or 1.0

    def place(value: float | None) -> float | None:
        return None if value is None else round(min(max(100 * value / track, 0.0), 100.0), 3)

    low, high = place(line.low), place(line.high)
    headroom = ""
    if line.value is not None and line.limit > 0:
        rest = 1 - line.value / line.limit
        headroom = f"{100 * rest:.0f} % below the limit" if rest >= 0 else f"{-100 * rest:.0f} % over the limit"
    return {
        "line": line,
        "value": place(line.value),
        "limit": place(line.limit),
        "low": low,
        "band_width": None if low is None or high is None else round(high - low, 3),
        "headroom": headroom,
    }


def _span(layers: list[Layer], item: Bin) -> str:
    first, last = layers[item.first], layers[item.last]
    if item.first == item.last:
        return f"{first.index} {shortened(first.name, 60)} ({printable(first.op)})"
    return f"layers {first.index}–{last.index}"


def _memory_chart(report: Report) -> ColumnChart | None:
    layers = [layer for layer in report.layers if layer.live_bytes is not None]
    if not layers:
        return None
    memory = report.memory
    bins = bin_values([float(layer.live_bytes or 0) for layer in layers], MAX_COLUMNS, max)
    titles = [f"{_span(layers, item)}: {bytes_text(item.value)}" for item in bins]
    levels = [("limit", "budget for RAM", line.limit) for line in report.budget if line.name == "ram"]
    if report.device.sram_bytes:
        levels.append(("device", "SRAM of the device", float(report.device.sram_bytes)))
    if memory.tflm_greedy_bytes:
        levels.append(("greedy", "plan of TFLM's own planner", float(memory.tflm_greedy_bytes)))
    if memory.planned_activation_bytes:
        levels.append(("plan", "planned activations", float(memory.planned_activation_bytes)))
    if memory.lower_bound_bytes:
        levels.append(("bound", "lower bound", float(memory.lower_bound_bytes)))
    return column_chart(bins, titles, levels, bytes_text, binary=True)


def _ram_bar(report: Report) -> StackedBar | None:
    memory = report.memory
    if memory.arena_bytes is None:
        return None
    parts = [
        ("activations", memory.planned_activation_bytes),
        ("kernel scratch", memory.scratch_bytes),
        ("persistent structures", memory.persistent_bytes),
    ]
    rest = memory.arena_bytes - sum(value or 0 for _, value in parts)
    return stacked_bar([*parts, ("other", max(rest, 0))], _limits(report, "ram", report.device.sram_bytes, "SRAM"))


def _flash_bar(report: Report) -> StackedBar | None:
    memory = report.memory
    if memory.flash_bytes is None:
        return None
    weights = min(memory.weight_bytes or 0, report.artifact.bytes)
    parts = [
        ("weights", weights),
        ("rest of the model file", report.artifact.bytes - weights),
        ("runtime code", memory.runtime_code_bytes),
    ]
    rest = memory.flash_bytes - sum(value or 0 for _, value in parts)
    return stacked_bar([*parts, ("other", max(rest, 0))], _limits(report, "flash", report.device.flash_bytes, "flash"))


def _limits(report: Report, name: str, device_bytes: int | None, noun: str) -> list[tuple[str, float | None]]:
    limits: list[tuple[str, float | None]] = [("budget", line.limit) for line in report.budget if line.name == name]
    return [*limits, (f"the device's {noun}", device_bytes)]


def _cost_chart(layers: list[Layer]) -> ColumnChart | None:
    by_latency = any(layer.latency_ms for layer in layers)
    values = [float((layer.latency_ms if by_latency else layer.macs) or 0) for layer in layers]
    if not any(values):
        return None
    form = ms_text if by_latency else count_text
    bins = bin_values(values, MAX_COLUMNS, sum)
    titles = [f"{_span(layers, item)}: {form(item.value)}" for item in bins]
    return column_chart(bins, titles, [], form, binary=False)


def _op_rows(layers: list[Layer]) -> list[dict[str, Any]]:
    """Return sums per kind of op, costliest first."""
    groups: dict[str, list[Layer]] = defaultdict(list)
    for layer in layers:
        groups[layer.op].append(layer)
    by_latency = any(layer.latency_ms for layer in layers)
    total = sum(float((layer.latency_ms if by_latency else layer.macs) or 0) for layer in layers)
    rows = []
    for op, members in groups.items():
        macs, latency_ms = (
            sum(layer.macs or 0 for layer in members),
            _sum_known([layer.latency_ms for layer in members]),
        )
        row = {
            "op": op,
            "layers": len(members),
            "macs": macs,
            "weight_bytes": sum(layer.weight_bytes or 0 for layer in members),
            "latency_ms": latency_ms,
        }
        cost = float((latency_ms if by_latency else macs) or 0)
        rows.append((cost / total if total else 0.0, row))
    rows.sort(key=lambda item: (-item[0], str(item[1]["op"])))
    return [{**row, "share": share} for share, row in rows]


def _sum_known(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _table_rows(layers: list[Layer]) -> list[tuple[Layer, float]]:
    """Return the layers to list, in order, with their share; of a very large model only the costliest."""
    shares = {layer.index: share for layer, share in costliest_layers(layers, len(layers))[1]}
    shown = layers
    if len(layers) > MAX_TABLE_ROWS:
        ranked = sorted(layers, key=lambda layer: (-shares.get(layer.index, 0.0), layer.index))
        shown = sorted(ranked[:MAX_TABLE_ROWS], key=lambda layer: layer.index)
    return [(layer, shares.get(layer.index, 0.0)) for layer in shown]


def _change(before: float | None, after: float | None) -> str:
    if before is None or after is None or not before:
        return ""
    return "unchanged" if before == after else f"{100 * (after - before) / before:+.1f} %"


def _options_text(options: dict[str, Any]) -> str:
    return ", ".join(f"{printable(key)}={printable(str(value))}" for key, value in options.items())


def _evidence(report: Report) -> list[dict[str, str]]:
    """Return one row per estimate: what it is, its evidence, that word's meaning, and the basis."""
    memory, latency, energy = report.memory, report.latency, report.energy
    rows = [
        ("RAM", memory.evidence, memory.basis),
        ("Flash", memory.flash_evidence, None),
        ("Latency", latency.evidence, latency.basis),
        ("Energy", energy.evidence, energy.basis),
    ]
    return [
        {
            "figure": figure,
            "evidence": evidence,
            "meaning": figures.EVIDENCE_WORDS[evidence],
            "basis": printable(basis or ""),
        }
        for figure, evidence, basis in rows
    ]
