"""What becomes of every op of ai.onnx, as data and as the page docs/onnx-ops.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgec.frontends.onnx import families
from edgec.frontends.onnx.control_flow import CONTROL_FLOW
from edgec.frontends.onnx.fold import FOLDED
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
_STRINGS = "TFLite's kernels compute nothing on strings"
_SEQUENCES = "sequences of tensors have no counterpart in TFLite"
_OPTIONALS = "optional values have no counterpart in TFLite"
_RANDOM = "a compiled model gives the same result for the same input; random numbers have no place in it"
_NOT_YET = "it could be composed, but is not yet"
REFUSED: Mapping[str, str] = {
    "StringConcat": _STRINGS, "StringNormalizer": _STRINGS, "StringSplit": _STRINGS, "RegexFullMatch": _STRINGS,
    "TfIdfVectorizer": _STRINGS, "ImageDecoder": "compressed images are decoded before the model",
    "ConcatFromSequence": _SEQUENCES, "SequenceAt": _SEQUENCES, "SequenceConstruct": _SEQUENCES,
    "SequenceEmpty": _SEQUENCES, "SequenceErase": _SEQUENCES, "SequenceInsert": _SEQUENCES,
    "SequenceLength": _SEQUENCES, "SequenceMap": _SEQUENCES, "SplitToSequence": _SEQUENCES,
    "Optional": _OPTIONALS, "OptionalGetElement": _OPTIONALS, "OptionalHasElement": _OPTIONALS,
    "Bernoulli": _RANDOM, "Multinomial": _RANDOM, "RandomNormal": _RANDOM, "RandomNormalLike": _RANDOM,
    "RandomUniform": _RANDOM, "RandomUniformLike": _RANDOM,
    "Unique": "the number of its results depends on the values, and TFLite's kernel does not sort",
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
    if name in CONTROL_FLOW:
        return "unrolled", _first_line(CONTROL_FLOW[name])
    if name in families.TRANSLATIONS:
        translate = families.TRANSLATIONS[name]
        return "one op" if name in DIRECT else "composed", _first_line(getattr(translate, "__wrapped__", translate))
    if name in REFUSED:
        return "refused", REFUSED[name]
    if is_defined_by_others(name, LAST_OPSET):
        return "by definition", "ONNX's function body is inlined"
    return ("folded", "where its operands are constant") if name in FOLDED else ("refused", _NOT_YET)


def _first_line(function: Any) -> str:
    lines = (function.__doc__ or "").strip().splitlines()
    return str(lines[0]) if lines else ""


_INTRODUCTION = """# ONNX ops

Written by `scripts/generate_onnx_ops_doc.py` from `edgec/frontends/onnx` and the last run of the suite; change those,
not this page. Opsets 1 to 25 of ai.onnx are read.

**one op**: one TFLite builtin in the plain case. **composed**: several. **by definition**: replaced by the function
body that ONNX gives for it. **unrolled**: branches and loops of a known number of steps are written out. **folded**:
computed at import where all operands are constant. Whatever is refused is refused with a sentence that names the node.
"""


def onnx_ops_document(suite: Mapping[str, Any]) -> str:
    """The text of docs/onnx-ops.md; `suite` holds `summary` and `failures` of a run of benchmarks/onnx_suite.py."""
    ops = describe_onnx_ops()
    rows = [f"| {name} | {status} | {remark} |" for name, status, remark in ops]
    counts = [f"{sum(s == status for _, s, _ in ops)} {status}" for status in dict.fromkeys(s for _, s, _ in ops)]
    table = ["| op | status | remark |", "| --- | --- | --- |", *rows, ""]
    return "\n".join([_INTRODUCTION, f"{len(ops)} ops: {', '.join(counts)}.\n", *table, *_suite_section(suite)])


def _suite_section(suite: Mapping[str, Any]) -> Sequence[str]:
    summary = suite["summary"]
    share = 100 * summary["passed"] / summary["eligible"]
    head = [
        "## ONNX's own backend cases\n",
        f"{summary['passed']} of the {summary['eligible']} eligible cases pass ({share:.1f} %); `python",
        "benchmarks/onnx_suite.py` runs them. These do not:\n",
        "| case | what happens |", "| --- | --- |",
    ]  # fmt: skip
    return [*head, *(f"| {f['case']} | {f['stage']}: {_cell(f['reason'])} |" for f in suite["failures"]), ""]


def _cell(reason: str) -> str:
    text = " ".join(reason.split()).replace("|", "\\|")
    return text if len(text) <= 200 else text[:197] + "…"
