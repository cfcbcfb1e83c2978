"""`edgec devices | targets | ops | passes`: what edgec knows."""

from __future__ import annotations

import json as json_module
from typing import Annotated, Any

import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON to standard output.")]


def devices_command(
    name: Annotated[
        str | None, typer.Argument(help="Explain one profile and its evidence.", show_default=False)
    ] = None,
    json: Json = False,
) -> None:
    """List the device profiles, or explain one with its evidence and gaps."""
    from edgec.target.load import list_devices, load_device

    if name is not None:
        _explain_device(name, json)
        return
    rows = []
    for found in list_devices():
        device = load_device(found)
        rows.append(
            {
                "name": device.name, "title": device.title, "target": device.target_name, "core": device.cpu.core,
                "clock_hz": device.cpu.clock_hz, "sram_bytes": device.sram_bytes, "flash_bytes": device.flash_bytes,
            }
        )  # fmt: skip
    _print(rows, ("name", "title", "target", "core"), json)


def _explain_device(name: str, json: bool) -> None:
    from edgec.target.load import load_device

    device = load_device(name)
    facts = {fact: device.evidence_for(fact).model_dump() | {"value": _fact(device, fact)} for fact in device.facts()}
    libraries = {
        f"{library}.{dtype}": costs.model_dump()
        for library, table in device.kernel_libraries.items()
        for dtype, costs in table.items()
    }
    if json:
        tree = {"name": device.name, "title": device.title, "target": device.target_name, "facts": facts,
                "kernel_libraries": libraries, "gaps": list(device.gaps)}  # fmt: skip
        typer.echo(json_module.dumps(tree, indent=2))
        return
    typer.echo(f"{device.name}: {device.title} (target {device.target_name})")
    for fact, entry in facts.items():
        typer.echo(f"  {fact} = {entry['value']}  [{entry['kind']}] {entry['source']}")
    for label, costs in libraries.items():
        typer.echo(f"  {label}: {costs['cycles_per_mac']} cycles per MAC [{costs['kind']}] {costs['source']}")
    for gap in device.gaps:
        typer.echo(f"  not known: {gap}")


def _fact(device: Any, path: str) -> Any:
    for part in path.split("."):
        device = getattr(device, part)
    return device if not isinstance(device, tuple) else list(device)


def targets_command(json: Json = False) -> None:
    """List the targets: what can run where."""
    from edgec.target.load import list_targets, load_target

    rows = []
    for name in list_targets():
        target = load_target(name)
        rows.append(
            {
                "name": name, "summary": target.summary, "runtime": target.runtime, "schemes": list(target.schemes),
                "refused": {str(scheme): why for scheme, why in target.refused_schemes.items()},
                "passes": [step.name for step in target.pipeline.passes],
            }
        )  # fmt: skip
    _print(rows, ("name", "runtime", "schemes", "summary"), json)


def ops_command(json: Json = False) -> None:
    """List the op vocabulary."""
    from edgec.ops.catalogue import describe_ops

    _print(describe_ops(), ("opcode", "builtin"), json)


def passes_command(json: Json = False) -> None:
    """List the passes and stages with their options."""
    from dataclasses import fields

    from edgec.driver.pipeline import STAGES, all_passes

    rows: list[dict[str, Any]] = [
        {
            "name": name, "summary": (cls.__doc__ or "").strip().split("\n")[0],
            "options": {f.name: f.default for f in fields(cls)},
        }
        for name, cls in sorted(all_passes().items())
    ]  # fmt: skip
    rows += [{"name": name, "summary": summary, "options": {}} for name, summary in STAGES.items()]
    _print(rows, ("name", "summary", "options"), json)


def _print(rows: list[dict[str, Any]], shown: tuple[str, ...], json: bool) -> None:
    if json:
        typer.echo(json_module.dumps(rows, indent=2, default=str))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*shown, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(Text(_cell(row[key])) for key in shown))
    Console().print(table)


def _cell(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    if isinstance(value, dict):
        return ", ".join(f"{k}={v}" for k, v in value.items())
    return str(value)
