"""The op vocabulary: every TFLite builtin edgec knows, family by family.

`OP_DEFS` is the registry that the IR's verifier and builder, the reader and the writer, quantization and cost all ask.
A new op is one `OpDef` in its family's file.
"""

from __future__ import annotations

from edgec.ir.builder import Builder
from edgec.ir.graph import Graph, Module, Op
from edgec.ir.op_def import OpDef, OpRegistry
from edgec.ir.verify import verify_graph, verify_module
from edgec.ops import (
    activation,
    blocks,
    control,
    conv,
    convert,
    elementwise,
    gather,
    generate,
    linear,
    movement,
    pool,
    recurrent,
    reduce,
    reshape,
    resize,
    signal,
    strided_slice,
)

FAMILIES: dict[str, tuple[OpDef, ...]] = {
    "conv": conv.OPS,
    "linear": linear.OPS,
    "pool": pool.OPS,
    "elementwise": elementwise.OPS,
    "activation": activation.OPS,
    "reshape": reshape.OPS,
    "movement": movement.OPS,
    "strided_slice": strided_slice.OPS,
    "blocks": blocks.OPS,
    "gather": gather.OPS,
    "reduce": reduce.OPS,
    "resize": resize.OPS,
    "generate": generate.OPS,
    "convert": convert.OPS,
    "recurrent": recurrent.OPS,
    "control": control.OPS,
    "signal": signal.OPS,
}
OP_DEFS = OpRegistry(list(FAMILIES.values()))


def definition(op: Op) -> OpDef | None:
    """The definition of an op, None for a custom one."""
    return OP_DEFS.get(op.opcode)


def build(graph: Graph, *, before: Op | None = None, source: str = "") -> Builder:
    """A builder that emits at the end of `graph`, or before an op of it."""
    return Builder(graph, OP_DEFS, before=before, source=source)


def verify(module: Module | Graph) -> None:
    """Check a module or graph against the op definitions; raises VerificationError."""
    if isinstance(module, Graph):
        verify_graph(module, OP_DEFS)
    else:
        verify_module(module, OP_DEFS)
