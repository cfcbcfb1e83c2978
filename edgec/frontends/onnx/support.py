"""What becomes of every op of ai.onnx, as data and as the page docs/onnx-ops.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from inspect import unwrap
from typing import Any

from edgec.frontends.onnx import families, sequences
from edgec.frontends.onnx.control_flow import CONTROL_FLOW
from edgec.frontends.onnx.fold import FOLDED
from edgec.frontends.onnx.refused_ops import REFUSED
from edgec.frontends.onnx.schema_functions import is_defined_by_others

LAST_OPSET = 25
# One TFLite op in the plain case; all other translations are compositions.
DIRECT = frozenset(
    """
    Abs Add And ArgMax ArgMin AveragePool BitShift BitwiseXor Cast CastLike Ceil Concat Conv ConvTranspose Cos CumSum
    DepthToSpace DequantizeLinear Div Elu Equal Exp Expand Flatten Floor Gather GatherND Gelu Gemm Greater
    GreaterOrEqual HardSwish LeakyRelu Less LessOrEqual Log LogSoftmax MatMul Max MaxPool Min Mod Mul Neg Not OneHot Or
    PRelu Pad Pow QuantizeLinear ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum Relu Reshape Resize
    ReverseSequence Round ScatterND Sigmoid Sign Sin Slice Softmax SpaceToDepth Split Sqrt Squeeze Sub Sum Tanh Tile
    TopK Transpose Unsqueeze Upsample Where Xor
    """.split()  # noqa: SIM905 -- a list of words reads better than of quoted words
)
_CORRECTED_ATTENTION = (
    "onnx corrected the op later: the soft cap comes before the mask, and the output modes 1 and 2 changed places; "
    "onnxruntime differs from this expectation alike"
)
_ATTENTION_CASES = (
    "3d_with_past_and_present_qk_matmul_bias", "3d_with_past_and_present_qk_matmul_softcap",
    "4d_with_past_and_present_qk_matmul_bias", "4d_with_past_and_present_qk_matmul_bias_3d_mask",
    "4d_with_past_and_present_qk_matmul_bias_3d_mask_causal", "4d_with_past_and_present_qk_matmul_bias_4d_mask",
    "4d_with_past_and_present_qk_matmul_bias_4d_mask_causal", "4d_with_qk_matmul_bias", "4d_with_qk_matmul_softcap",
)  # fmt: skip
_WRAPPED = "the expectation wraps around where the op saturates; onnxruntime differs from it alike"
_FRACTIONAL = (
    "the expectation divides by a fractional length, the op's text and onnxruntime by the length of the result"
)
# Cases whose expectation is not what the op's text, as it stands, and onnxruntime give.
DEPARTURES: Mapping[str, str] = {
    **{f"node/test_attention_{case}": _CORRECTED_ATTENTION for case in _ATTENTION_CASES},
    "node/test_l2normalization_axis_0": "the expectation is 0 / 0; the op's text and onnxruntime have 0",
    "node/test_maxunpool_export_with_output_shape":
        "the expectation counts places in the shape without output_shape; onnxruntime, and PyTorch, in the given one",
    "node/test_qlinearmatmul_2D_int8_float32": _WRAPPED, "node/test_qlinearmatmul_3D_int8_float32": _WRAPPED,
    "node/test_resize_downsample_scales_cubic_align_corners": _FRACTIONAL,
    "node/test_resize_downsample_scales_linear_align_corners": _FRACTIONAL,
}  # fmt: skip


def describe_onnx_ops() -> list[tuple[str, str, str]]:
    """Name, status and a remark for every op of ai.onnx up to opset 25, by name.

    Status is "one op", "composed", "by definition" (ONNX's own function body is inlined), "unrolled" (control flow),
    "folded" (only where its operands are constant) or "refused", with the reason as remark.
    """
    from onnx import defs

    names = {schema.name for schema in defs.get_all_schemas() if schema.domain == ""}
    return [(name, *_status(name)) for name in sorted(names) if defs.has(name, LAST_OPSET, "")]


def _status(name: str) -> tuple[str, str]:
    if name in CONTROL_FLOW or name in sequences.SUBGRAPH_OPS:
        return "unrolled", _first_line(CONTROL_FLOW.get(name) or sequences.SUBGRAPH_OPS[name])
    if name in families.TRANSLATIONS:
        translate = families.TRANSLATIONS[name]
        return "one op" if name in DIRECT else "composed", _first_line(unwrap(translate))
    if name in FOLDED:
        return "folded", f"where its operands are constant; else refused: {REFUSED[name]}"
    if name in REFUSED:
        return "refused", REFUSED[name]
    if is_defined_by_others(name, LAST_OPSET):
        return "by definition", "ONNX's function body is inlined"
    raise LookupError(f"ONNX op '{name}' has neither a translation nor a reason in refused_ops.py")


def _first_line(function: Any) -> str:
    lines = (function.__doc__ or "").strip().splitlines()
    return str(lines[0]) if lines else ""


_INTRODUCTION = """# ONNX ops

Written by `scripts/generate_onnx_ops_doc.py` from `edgec/frontends/onnx` and the last run of the suite; change those,
not this page. Opsets 1 to 25 of ai.onnx are read.

**one op**: one TFLite builtin in the plain case. **composed**: several. **by definition**: replaced by the function
body that ONNX gives for it. **unrolled**: branches and loops that are known at
import and short are written out, others become TFLite's `if` and `while`. **folded**:
computed at import where all operands are constant. Whatever is refused is refused with a sentence that names the node.
"""


def onnx_ops_document(suite: Mapping[str, Any]) -> str:
    """The text of docs/onnx-ops.md; `suite` holds `summary` and `failures` of a run of benchmarks/onnx_suite.py."""
    ops = describe_onnx_ops()
    rows = [f"| {name} | {status} | {remark} |" for name, status, remark in ops]
    counts = [f"{sum(s == status for _, s, _ in ops)} {status}" for status in dict.fromkeys(s for _, s, _ in ops)]
    table = ["| op | status | remark |", "| --- | --- | --- |", *rows, ""]
    head = [_INTRODUCTION, f"{len(ops)} ops: {', '.join(counts)}.\n"]
    return "\n".join([*head, *table, *_contrib_section(), *_suite_section(suite)])


def _contrib_section() -> Sequence[str]:
    translations = sorted(families.CONTRIB.items())
    rows = [f"| {name} | {_first_line(unwrap(t))} |" for name, t in translations]
    head = ["## onnxruntime's own ops (com.microsoft)\n", "| op | remark |", "| --- | --- |"]
    return [*head, *rows, ""]


def _suite_section(suite: Mapping[str, Any]) -> Sequence[str]:
    summary = suite["summary"]
    share = 100 * summary["passed"] / summary["eligible"]
    head = [
        "## ONNX's own backend cases\n",
        f"{summary['passed']} of the {summary['eligible']} eligible cases pass ({share:.1f} %); `python",
        "benchmarks/onnx_suite.py` runs them. These do not:\n",
        "| case | what happens |", "| --- | --- |",
    ]  # fmt: skip
    return [*head, *(f"| {f['case']} | {f['stage']}: {_cell(_explained(f))} |" for f in suite["failures"]), ""]


def _explained(failure: Mapping[str, str]) -> str:
    """The reason, and why the case departs where its expectation is not the op's."""
    departure = DEPARTURES.get(failure["case"]) if failure["stage"] == "failed" else None
    return failure["reason"] if departure is None else f"{failure['reason']}: {departure}"


def _cell(reason: str) -> str:
    text = " ".join(reason.split()).replace("|", "\\|")
    return text if len(text) <= 300 else text[:297] + "…"
