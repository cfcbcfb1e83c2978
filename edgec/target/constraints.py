"""Legality rules: what a target's kernels demand beyond the definition of an op, one small class a rule.

A rule says where it applies and gives one sentence with the value it found, so the rules are the documentation of the
limits as well. Figures come from running one-op models in LiteRT 2.3 (reference, builtin, XNNPACK) and in TFLM.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from edgec.ir.dtype import DType
from edgec.ir.graph import Graph, Module, Op, Value
from edgec.ir.op_def import Role
from edgec.ir.verify import CUSTOM, OPAQUE
from edgec.ops import OP_DEFS
from edgec.target.target import Target

CONVOLUTIONS = ("conv_2d", "depthwise_conv_2d")
WEIGHTED = (*CONVOLUTIONS, "transpose_conv", "fully_connected")
SMALL_WEIGHTS = (DType.INT4, DType.INT2)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why one op (None: the graph's borders) cannot run on the target; `message` is a clause without full stop."""

    op: Op | None
    rule: str
    message: str

    def __str__(self) -> str:
        return self.message if self.op is None else f"{self.op.describe()}: {self.message}"


class Constraint(ABC):
    """One rule."""

    @property
    def name(self) -> str:
        """The rule's name in reports."""
        return type(self).__name__

    @abstractmethod
    def applies(self, op: Op) -> bool:
        """True for ops the rule speaks about."""

    @abstractmethod
    def check(self, op: Op, target: Target) -> str | None:
        """What is wrong with the op on this target and what would do; None where nothing is."""


def data_dtype(op: Op) -> DType | None:
    """The dtype by which kernels are chosen: that of the first activation operand, else of the first result."""
    definition = OP_DEFS.get(op.opcode)
    if definition is not None:
        for index, value in enumerate(op.operands):
            if value is not None and definition.role(index) is Role.ACTIVATION:
                return value.dtype
    return op.results[0].dtype if op.results else None


class KernelExists(Constraint):
    """The runtime has a kernel for the op with data of its dtype.

    Float data passes where a kernel takes either float or the dtype quantization will give, as targets for integers are
    asked before quantization too.
    """

    def applies(self, op: Op) -> bool:
        """Every builtin."""
        return op.opcode != CUSTOM

    def check(self, op: Op, target: Target) -> str | None:
        """The target's own sentence."""
        opcode = str(op.attributes["builtin"]).lower() if op.opcode == OPAQUE else op.opcode
        dtype = data_dtype(op)
        refusal = target.refusal(opcode, dtype)
        if refusal is None or dtype is not DType.FLOAT32:
            return refusal
        planned = target.compute_dtype[target.default_scheme]
        return None if planned in ("int8", "int16") and target.supports(opcode, planned) else refusal


class WeightsAreConstant(Constraint):
    """Weights are known at compile time, where the target says so (`weights_must_be_constant`)."""

    def applies(self, op: Op) -> bool:
        """Convolutions and fully connected layers."""
        return op.opcode in WEIGHTED

    def check(self, op: Op, target: Target) -> str | None:
        """Refuse computed weights; a dequantize of a constant counts as constant."""
        weight = op.operand(1)
        producer = weight.producer
        stored = producer is not None and producer.opcode == "dequantize" and producer.operand(0).is_constant
        if weight.is_constant or stored or not target.rules.get("weights_must_be_constant", False):
            return None
        return f"its weights '{weight.name}' are computed at run time; make them a constant of the model"


class StaticShapes(Constraint):
    """Every size is known at compile time, where the target says `dynamic_shapes = false`."""

    def applies(self, op: Op) -> bool:
        """Ops at which a varying size enters: what follows from it is not reported again."""
        return not any(v is not None and v.producer is not None and v.type.is_dynamic for v in op.operands)

    def check(self, op: Op, target: Target) -> str | None:
        """Refuse results whose sizes vary."""
        dynamic = next((r for r in op.results if r.type.is_dynamic), None)
        if dynamic is None or target.rules.get("dynamic_shapes", True):
            return None
        signature = list(dynamic.type.signature or ())
        found = f"the shape {signature} of '{dynamic.name}' is only known at run time"
        return f"{found}; fix the sizes of the model's inputs"


class ConvolutionBias(Constraint):
    """`conv_2d` and `depthwise_conv_2d` have a bias: LiteRT refuses or crashes without."""

    def applies(self, op: Op) -> bool:
        """The two convolutions."""
        return op.opcode in CONVOLUTIONS

    def check(self, op: Op, target: Target) -> str | None:
        """Refuse an absent bias."""
        return None if op.optional_operand(2) is not None else "it has no bias; give it one of zeros"


class BiasDType(Constraint):
    """The bias has the dtype the kernel adds in: int32 beside int8, int64 beside int16, float beside float.

    TFLM runs an int16 `depthwise_conv_2d` with an int32 bias and gives garbage.
    """

    wanted: ClassVar[dict[DType, DType]] = {
        DType.INT8: DType.INT32,
        DType.INT16: DType.INT64,
        DType.FLOAT32: DType.FLOAT32,
    }

    def applies(self, op: Op) -> bool:
        """Weighted ops with a bias."""
        return op.opcode in WEIGHTED and op.optional_operand(_bias_index(op)) is not None

    def check(self, op: Op, target: Target) -> str | None:
        """Compare the dtypes."""
        bias, data = op.operand(_bias_index(op)), op.operand(2 if op.opcode == "transpose_conv" else 0)
        wanted = self.wanted.get(data.dtype)
        own_type = op.attributes.get("quantized_bias_type", "FLOAT32") == bias.dtype.name != "FLOAT32"
        if wanted is None or bias.dtype is wanted or (own_type and target.runtime == "litert"):
            return None
        return f"its bias '{bias.name}' is {bias.dtype.value}, beside {data.dtype.value} data it must be {wanted.value}"


def _bias_index(op: Op) -> int:
    return 3 if op.opcode == "transpose_conv" else 2


class PerChannelFullyConnected(Constraint):
    """Fully connected weights have one scale, where the target says `fully_connected_per_channel = false`."""

    def applies(self, op: Op) -> bool:
        """Fully connected layers."""
        return op.opcode == "fully_connected"

    def check(self, op: Op, target: Target) -> str | None:
        """Refuse more than one scale."""
        quant = op.operand(1).quant
        if quant is None or len(quant.scale) == 1 or target.rules.get("fully_connected_per_channel", True):
            return None
        return f"its weights have {len(quant.scale)} scales, one for each unit; quantize them per tensor"


class SmallWeights(Constraint):
    """4-bit and smaller weights run where the target's rules and refused dtypes leave them."""

    def applies(self, op: Op) -> bool:
        """Ops with int4 or int2 weights."""
        return op.opcode in WEIGHTED and op.operand(1).dtype in SMALL_WEIGHTS

    def check(self, op: Op, target: Target) -> str | None:
        """Refuse what the target refuses by dtype or by `<short op name>_int4 = false`."""
        dtype = op.operand(1).dtype.value
        reason = next((why for refused, why in target.refused_dtypes.items() if refused == dtype), None)
        if reason is not None:
            return f"its weights are {dtype}: {reason}"
        short = {"depthwise_conv_2d": "depthwise"}.get(op.opcode, op.opcode)
        if target.rules.get(f"{short}_int4", True) and dtype != "int2":
            return None
        if dtype == "int2" and op.opcode == "fully_connected":
            return None
        return f"its weights are {dtype}, which the kernel of {op.opcode} does not run right; use int8"


class ConcatenationInputs(Constraint):
    """A concatenation joins no more tensors than the kernel takes (`max_concat_inputs`)."""

    def applies(self, op: Op) -> bool:
        """Concatenations."""
        return op.opcode == "concatenation"

    def check(self, op: Op, target: Target) -> str | None:
        """Count the inputs."""
        limit = target.max_concat_inputs
        if limit is None or len(op.operands) <= limit:
            return None
        return f"it joins {len(op.operands)} tensors, the kernel takes {limit}; join them in steps"


class ActivationAttribute(Constraint):
    """Only ops whose kernels apply it carry an activation; `concatenation` and `l2_normalization` refuse it."""

    def applies(self, op: Op) -> bool:
        """The ops that have the attribute in the schema but not in the kernel."""
        return op.opcode in ("concatenation", "l2_normalization")

    def check(self, op: Op, target: Target) -> str | None:
        """Refuse any activation."""
        activation = op.attributes["fused_activation_function"]
        if activation == "NONE":
            return None
        return f"its kernel does not apply the activation {activation}; put an op of its own behind it"


# Ops whose kernels stop at some rank; elementwise ops, reshape and reductions on builtin kernels ran up to rank 7.
RANK_LIMITED = (
    "concatenation", "mean", "sum", "reduce_max", "reduce_min", "reduce_prod", "softmax", "log_softmax", "pad", "padv2",
    "mirror_pad", "slice", "strided_slice", "transpose",
)  # fmt: skip


def rank_limit(opcode: str, target: Target) -> int | None:
    """The largest rank the target's kernel for `opcode` takes: rule `<opcode>_max_rank`, else `max_rank`; None: any."""
    if opcode not in RANK_LIMITED:
        return None
    limit = target.rules.get(f"{opcode}_max_rank", target.max_rank)
    return limit if isinstance(limit, int) else None


class RankLimit(Constraint):
    """The data of an op has no more dimensions than its kernel takes."""

    def applies(self, op: Op) -> bool:
        """Ops whose kernels stop at some rank."""
        return op.opcode in RANK_LIMITED

    def check(self, op: Op, target: Target) -> str | None:
        """Compare the rank."""
        limit, value = rank_limit(op.opcode, target), op.operand(0)
        if limit is None or value.type.rank <= limit:
            return None
        shape = list(value.shape)
        return f"'{value.name}' has shape {shape}, the kernel takes rank {limit}; merge dimensions before it"


class NarrowParameters(Constraint):
    """Shapes, axes and paddings are int32: with int64 kernels refuse them or, in TFLM, misread them."""

    def applies(self, op: Op) -> bool:
        """Every op edgec knows, except those whose result takes its dtype from the parameter."""
        return op.opcode in OP_DEFS and op.opcode not in ("broadcast_args", "range")

    def check(self, op: Op, target: Target) -> str | None:
        """Name the first int64 parameter."""
        wide = next(wide_parameters(op), None)
        if wide is None or target.rules.get("int64_parameters", False):
            return None
        value = op.operand(wide)
        return f"its parameter '{value.name}' is int64, the kernel takes int32; cast it in the model"


def wide_parameters(op: Op) -> Iterator[int]:
    """Positions of the op's int64 parameters."""
    definition = OP_DEFS[op.opcode]
    for index in definition.operand_indices(Role.PARAMETER, op):
        if op.operand(index).dtype is DType.INT64:
            yield index


class IndexDType(Constraint):
    """Positions of extremes have the dtype the kernel writes (rule `index_dtype`): TFLM's give int32 only."""

    def applies(self, op: Op) -> bool:
        """The ops that choose between int32 and int64."""
        return op.opcode in ("arg_max", "arg_min")

    def check(self, op: Op, target: Target) -> str | None:
        """Compare the result's dtype."""
        wanted = target.rules.get("index_dtype", op.result.dtype.value)
        if op.result.dtype.value == wanted:
            return None
        return f"its result is {op.result.dtype.value}, the kernel gives {wanted}; ask for {wanted} in the model"


class EmptyTensors(Constraint):
    """No tensor is empty: microcontroller kernels divide by sizes."""

    def applies(self, op: Op) -> bool:
        """Every op."""
        return True

    def check(self, op: Op, target: Target) -> str | None:
        """Refuse a size of 0, where the target takes static shapes only."""
        empty = next((r for r in op.results if math.prod(r.shape) == 0 and not r.type.is_dynamic), None)
        if empty is None or target.rules.get("dynamic_shapes", True):
            return None
        return f"'{empty.name}' has shape {list(empty.shape)}, which holds nothing; remove it from the model"


CONSTRAINTS: tuple[Constraint, ...] = (
    KernelExists(), WeightsAreConstant(), StaticShapes(), ConvolutionBias(), BiasDType(), PerChannelFullyConnected(),
    SmallWeights(), ConcatenationInputs(), ActivationAttribute(), RankLimit(), NarrowParameters(), IndexDType(),
    EmptyTensors(),
)  # fmt: skip


def check_legality(module: Module, target: Target, scheme: str | None = None) -> list[Refusal]:
    """Every op of the module that breaks a rule of the target, with the reason.

    With `scheme`, the dtypes at the borders of the main graph are held against what the target promises for it.
    """
    found = []
    for graph in module.graphs:
        for op in graph.ops:
            for rule in CONSTRAINTS:
                message = rule.check(op, target) if rule.applies(op) else None
                if message is not None:
                    found.append(Refusal(op, rule.name, message))
    return [*found, *(_border_refusals(module.main, target, scheme) if scheme is not None else ())]


def _border_refusals(graph: Graph, target: Target, scheme: str) -> Iterator[Refusal]:
    refusal = target.scheme_refusal(scheme)
    if refusal is not None:
        yield Refusal(None, "Scheme", refusal)
        return
    borders = target.io_dtype[scheme]  # type: ignore[index]
    for what, values, allowed in (("input", graph.inputs, borders.inputs), ("output", graph.outputs, borders.outputs)):
        for value in values:
            if _is_data(value) and value.dtype.value not in allowed:
                yield Refusal(
                    None, "BorderDType",
                    f"{what} '{value.name}' is {value.dtype.value}, target {target.name} takes {' or '.join(allowed)} "
                    f"for scheme {scheme}",
                )  # fmt: skip


def _is_data(value: Value) -> bool:
    return value.dtype.is_float or value.quant is not None  # indices and masks are not quantized
