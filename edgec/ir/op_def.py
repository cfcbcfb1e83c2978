"""What edgec knows about one op: signature, inference, cost, TFLite options and quantization constraints."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from edgec.ir.dtype import DType
from edgec.ir.graph import Op
from edgec.ir.types import TensorType


class Role(Enum):
    """What an operand is to its op; quantization, pruning and cost all ask this."""

    ACTIVATION = "activation"  # a tensor that flows; quantized per tensor
    WEIGHT = "weight"  # a trained tensor; quantized symmetrically, per channel where the op allows
    BIAS = "bias"  # int32 (int64 beside int16 activations), scale = input scale * weight scale
    PARAMETER = "parameter"  # shapes, axes, indices, paddings, masks: never quantized
    STATE = "state"  # a variable


@dataclass(frozen=True, slots=True)
class Operand:
    """One operand of an op's signature."""

    name: str
    role: Role = Role.ACTIVATION
    optional: bool = False
    variadic: bool = False  # only the last operand may be


@dataclass(frozen=True, slots=True)
class FixedRange:
    """Output quantization that TFLite's 8-bit specification demands: per dtype (scale, zero point)."""

    int8: tuple[float, int]
    int16: tuple[float, int] | None = None


@dataclass(frozen=True, slots=True)
class QuantRule:
    """How an op is quantized under TFLite's 8-bit specification.

    `activations` lists the dtypes the integer kernels take for activations (empty: the op stays in float).
    `weight_axis` is the per-channel axis of the weight operand, None where weights are per tensor.
    `same_scale`: every activation operand and every result share one scale and zero point.
    `fixed`: the results' range is prescribed. `integer_results`: results are indices or booleans, not quantized.
    `symmetric_int16`: zero points must be 0 with int16 activations (true for all of TFLite).
    """

    activations: tuple[DType, ...] = ()
    weight_axis: int | None = None
    same_scale: bool = False
    fixed: FixedRange | None = None
    integer_results: bool = False
    note: str = ""


Infer = Callable[[Op], Sequence[TensorType]]
Count = Callable[[Op], int]


def no_macs(op: Op) -> int:
    """Zero: the op moves or compares data only."""
    return 0


@dataclass(frozen=True, slots=True)
class OpDef:
    """The definition of one opcode.

    `builtin` is the TFLite BuiltinOperator name, `options` its options table (None: no options). `infer` returns the
    result types (without quantization, which only a quantizer can choose) and raises ValueError with the reason where
    operands or attributes do not fit. `macs` counts multiply-accumulates. `version` gives the op version to write for a
    new op. `has_side_effects` keeps an op without used results alive.
    """

    opcode: str
    builtin: str
    options: str | None
    operands: tuple[Operand, ...]
    infer: Infer
    results: int | None = 1  # None: as many as `infer` returns
    macs: Count = no_macs
    quant: QuantRule = field(default_factory=QuantRule)
    version: Callable[[Op], int] | int = 1
    has_side_effects: bool = False
    is_elementwise: bool = False  # each result element depends on the operand elements at its (broadcast) position
    is_commutative: bool = False

    def __post_init__(self) -> None:
        if any(o.variadic for o in self.operands[:-1]):
            raise ValueError(f"{self.opcode}: only the last operand may be variadic")

    def operand_at(self, index: int) -> Operand:
        """The signature entry for the operand at `index`; raises ValueError where the op takes fewer."""
        if index < len(self.operands):
            return self.operands[index]
        if self.operands and self.operands[-1].variadic:
            return self.operands[-1]
        raise ValueError(f"{self.opcode} takes {len(self.operands)} operands")

    def role(self, index: int) -> Role:
        """The role of the operand at `index`."""
        return self.operand_at(index).role

    def operand_indices(self, role: Role, op: Op) -> tuple[int, ...]:
        """Positions of the op's present operands that have `role`."""
        return tuple(i for i, v in enumerate(op.operands) if v is not None and self.role(i) is role)

    def write_version(self, op: Op) -> int:
        """The op version to write: what `version` says, but never less than what was read."""
        needed = self.version if isinstance(self.version, int) else self.version(op)
        return max(needed, op.version or 1)

    def check_signature(self, op: Op) -> None:
        """Raise ValueError where the number or presence of operands does not fit the signature."""
        variadic = bool(self.operands) and self.operands[-1].variadic
        if len(op.operands) > len(self.operands) and not variadic:
            raise ValueError(f"takes at most {len(self.operands)} operands, found {len(op.operands)}")
        for index, operand in enumerate(self.operands):
            absent = index >= len(op.operands) or op.operands[index] is None
            if absent and not operand.optional and not operand.variadic:
                raise ValueError(f"operand '{operand.name}' is missing")
        if variadic and not self.operands[-1].optional and len(op.operands) < len(self.operands):
            raise ValueError(f"needs at least one operand '{self.operands[-1].name}'")


class OpRegistry(Mapping[str, OpDef]):
    """Op definitions by opcode; registering an opcode twice is an error."""

    def __init__(self, families: Sequence[Sequence[OpDef]]) -> None:
        self._by_opcode: dict[str, OpDef] = {}
        self._by_builtin: dict[str, OpDef] = {}
        for family in families:
            for definition in family:
                self._register(definition)

    def _register(self, definition: OpDef) -> None:
        if definition.opcode in self._by_opcode or definition.builtin in self._by_builtin:
            raise ValueError(f"op '{definition.opcode}' is registered twice")
        self._by_opcode[definition.opcode] = definition
        self._by_builtin[definition.builtin] = definition

    def by_builtin(self, builtin: str) -> OpDef | None:
        """The definition for a TFLite BuiltinOperator name, None where edgec has none."""
        return self._by_builtin.get(builtin)

    def __getitem__(self, opcode: str) -> OpDef:
        return self._by_opcode[opcode]

    def __iter__(self) -> Any:
        return iter(self._by_opcode)

    def __len__(self) -> int:
        return len(self._by_opcode)
