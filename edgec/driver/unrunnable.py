"""What no runtime here can run, told before anything is tried: TensorFlow's own kernels, unknown custom ops, text."""

from __future__ import annotations

from edgec.errors import LoweringError
from edgec.ir.dtype import DType
from edgec.ir.graph import Module, Op
from edgec.ir.verify import CUSTOM
from edgec.target.target import Target

FLEX = "Flex"
# Custom ops that ai-edge-litert 2.3.0 knows (each was offered in a one-op model): its own four, then XNNPACK's.
LITERT_CUSTOM = (
    "TFLite_Detection_PostProcess", "Mfcc", "AudioSpectrogram", "NumericVerify",
    "MaxPoolingWithArgmax2D", "MaxUnpooling2D", "Convolution2DTransposeBias",
)  # fmt: skip


def check_runnable(module: Module, target: Target, name: str) -> None:
    """Refuse a model whose ops or borders no runtime here takes; all of them are named at once.

    Raises:
        LoweringError: with a line for each op, input or output.
    """
    if not module.main.outputs:
        raise LoweringError(f"Compiling '{name}' for target {target.name}: it has no outputs, so nothing to compute.")
    lines = [f"\n  {op.describe()}: {why}" for g in module.graphs for op in g.ops if (why := _refusal(op, target))]
    for side, values in (("input", module.main.inputs), ("output", module.main.outputs)):
        lines += [
            f"\n  {side} '{v.name}' is text (string); compile the network behind the text's look-up, on numbers"
            for v in values
            if v.dtype is DType.STRING
        ]
    if lines:
        raise LoweringError(f"Compiling '{name}' for target {target.name}: it cannot run there:{''.join(lines)}")


def _refusal(op: Op, target: Target) -> str | None:
    if op.opcode != CUSTOM:
        return None
    code = str(op.attributes["custom_code"])
    if code.startswith(FLEX):
        return (
            f"it is TensorFlow's {code.removeprefix(FLEX)}, which runs in TensorFlow's own kernels only (Flex); "
            "convert the model without SELECT_TF_OPS, or replace the op by ones that TFLite has"
        )
    if target.runtime == "litert" and code not in LITERT_CUSTOM:
        return (
            f"custom op '{code}' is none of LiteRT's ({', '.join(LITERT_CUSTOM)}); replace it by builtin ops, or leave "
            "it to the program around the model"
        )
    return None
