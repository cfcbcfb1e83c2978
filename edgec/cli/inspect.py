"""`edgec inspect`: what is in a model file."""

from __future__ import annotations

import json as json_module
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgec.cli.parameters import (
    FrontEnd,
    GraphInputs,
    GraphOutputs,
    Model,
    Python,
    Shapes,
    read_names,
    read_shapes,
)  # fmt: skip

if TYPE_CHECKING:
    from edgec.ir.graph import Module

EXAMPLES = """Examples:

edgec inspect net.tflite

edgec inspect net.onnx --ir"""


def inspect_command(
    model: Model,
    ir: Annotated[bool, typer.Option("--ir", help="Print the whole text form, constants included.")] = False,
    shape: Shapes = None,
    frontend: FrontEnd = None,
    python: Python = None,
    inputs: GraphInputs = None,
    outputs: GraphOutputs = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON to standard output.")] = False,
) -> None:
    """Show a model's graphs, ops, layers and sizes as the front end reads them; no pass runs."""
    from edgec.driver.shape_request import parse_requests, planned_sizes
    from edgec.driver.source import ReadOptions, load_source

    options = ReadOptions(frontend, python, read_names(inputs), read_names(outputs))
    source = load_source(model, planned_sizes(parse_requests(read_shapes(shape))), options=options)
    if ir:
        from edgec.ir.printer import print_module
        from edgec.ops import OP_DEFS

        typer.echo(print_module(source.module, OP_DEFS), nl=False)
        return
    described = _describe(source.module) | {"format": source.format, "bytes": source.bytes, "sha256": source.sha256}
    if json:
        typer.echo(json_module.dumps(described, indent=2))
        return
    _show(described)


def _describe(module: Module) -> dict[str, Any]:
    from edgec.cost.macs import module_macs, op_cost, parameter_count

    layers = [
        {
            "graph": graph.name, "index": i, "op": op.opcode, "name": op.name, "macs": op_cost(op).macs,
            "weight_bytes": op_cost(op).weight_bytes, "output": str(op.results[0].type) if op.results else "",
        }
        for graph in module.graphs
        for i, op in enumerate(graph.ops)
    ]  # fmt: skip
    return {
        "name": module.name,
        "graphs": [{"name": g.name, "ops": len(g)} for g in module.graphs],
        "inputs": [{"name": v.name, "type": str(v.type)} for v in module.main.inputs],
        "outputs": [{"name": v.name, "type": str(v.type)} for v in module.main.outputs],
        "op_counts": dict(Counter(layer["op"] for layer in layers).most_common()),
        "macs": module_macs(module),
        "parameters": parameter_count(module),
        "signatures": [s.key for s in module.signatures],
        "metadata": sorted(module.metadata),
        "notes": [f"{n.where}: {n.message}" for n in module.notes],
        "layers": layers,
    }


def _show(described: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from edgec.report.figures import bytes_text, count_text

    console = Console()
    size = bytes_text(described["bytes"])
    console.print(Text(f"{described['name']} ({described['format']}, {size})", style="bold"))
    console.print(Text(f"{count_text(described['macs'])} MACs, {count_text(described['parameters'])} parameters"))
    for side in ("inputs", "outputs"):
        for entry in described[side]:
            console.print(Text(f"{side[:-1]} {entry['name']}: {entry['type']}"))
    counts = ", ".join(f"{n} {op}" for op, n in described["op_counts"].items())
    console.print(Text(f"ops: {counts}"))
    for note in described["notes"]:
        console.print(Text(note, style="yellow"))
    table = Table("#", "op", "name", "output", "MACs", "weights", box=None, pad_edge=False)
    for layer in described["layers"]:
        cells = (str(layer["index"]), layer["op"], layer["name"], layer["output"])
        table.add_row(*map(Text, cells), count_text(layer["macs"]), bytes_text(layer["weight_bytes"]))
    console.print(table)
