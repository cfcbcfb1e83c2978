"""One ONNX node as translators see it: operands as values, attributes as Python, reasons to refuse as exceptions."""

from __future__ import annotations

import builtins
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from edgec.ir.graph import Value

if TYPE_CHECKING:
    from onnx import NodeProto


MAX_STATED = 1 << 26  # elements of a result whose shape only the model states
MAX_LISTED = 1 << 16  # integers in one operand: shapes, axes, pads, sizes of a split


class Refusal(Exception):
    """A node has no translation; the message is the reason, without the node's name."""


class Node:
    """An ONNX node with its operands translated.

    `inputs` holds None where an optional input is absent; trailing absent ones may be missing: use `input`/`optional`.
    Values stand in ONNX's layout (channels first).
    """

    def __init__(self, proto: NodeProto, inputs: list[Value | None], opset: int) -> None:
        self.op_type: str = proto.op_type
        self.name: str = proto.name or (proto.output[0] if proto.output else proto.op_type)
        self.inputs = inputs
        self.outputs: list[str] = list(proto.output)
        self.opset = opset
        self.declared: list[tuple[builtins.int, ...] | None] = []  # shapes that the model states for the outputs
        self.read: set[builtins.int] = set()  # positions of the outputs that something reads
        self.sizes_vary = False  # sizes other than the batch may be others when the artifact runs
        self.in_real_numbers = False  # a dynamic quantization that stands for its operand
        self._attributes = {a.name: a for a in proto.attribute}

    def input(self, index: int) -> Value:
        """A required operand."""
        value = self.optional(index)
        if value is None:
            raise Refusal(f"its input {index} is missing")
        return value

    def optional(self, index: int) -> Value | None:
        """An operand, None where it is absent."""
        return self.inputs[index] if index < len(self.inputs) else None

    def is_constant(self, index: builtins.int) -> bool:
        """True where the operand is absent or known at import."""
        value = self.optional(index)
        return value is None or value.data is not None

    def declared_shape(self, index: builtins.int = 0) -> tuple[builtins.int, ...]:
        """The shape the model states for an output; refuses where it states none."""
        found = self.declared[index] if index < len(self.declared) else None
        if found is None:
            raise Refusal("its shape follows from numbers that are only known at run time, and the model states none")
        if math.prod(found) > MAX_STATED:
            raise Refusal(f"the model states a result of shape {list(found)}, more than {MAX_STATED} elements")
        return found

    def has(self, name: str) -> bool:
        """True where the attribute is given."""
        return name in self._attributes

    def attribute(self, name: str, default: Any = None) -> Any:
        """An attribute as Python (strings decoded, tensors as numpy arrays), `default` where it is absent."""
        proto = self._attributes.get(name)
        if proto is None:
            return default
        from onnx import helper, numpy_helper

        value = helper.get_attribute_value(proto)
        if isinstance(value, bytes):
            return value.decode("utf-8", "replace")
        if hasattr(value, "raw_data"):
            try:
                return numpy_helper.to_array(value)
            except (ValueError, TypeError, KeyError) as error:
                raise Refusal(f"its attribute '{name}' holds a damaged tensor ({error})") from error
        if isinstance(value, list | tuple) or type(value).__name__.startswith("Repeated"):
            return [v.decode("utf-8", "replace") if isinstance(v, bytes) else v for v in value]
        return value

    def int(self, name: str, default: int) -> int:
        """An integer attribute."""
        return int(self.attribute(name, default))

    def float(self, name: str, default: float) -> float:
        """A float attribute."""
        return float(self.attribute(name, default))

    def array(self, index: builtins.int) -> np.ndarray | None:
        """The data of a constant operand, None where the operand is absent; refuses one computed at run time."""
        value = self.optional(index)
        if value is None:
            return None
        if value.data is None:
            raise Refusal(f"its input {index} ('{value.name}') is computed at run time and must be constant")
        return value.data

    def required_array(self, index: builtins.int) -> np.ndarray:
        """As `array`, refusing where the operand is absent."""
        self.input(index)
        found = self.array(index)
        assert found is not None
        return found

    def ints(self, index: builtins.int, attribute: str = "") -> list[builtins.int] | None:
        """Integers from a constant operand or, as in older opsets, from an attribute; None where neither is given."""
        if attribute and self.has(attribute):
            found = self.attribute(attribute)
            return [int(v) for v in (found if isinstance(found, list) else [found])]
        data = self.array(index)
        if (
            data is not None
            and data.dtype.kind not in "iub"
            and not (np.isfinite(data) & (data == np.floor(data))).all()
        ):
            raise Refusal(f"its input {index} must be integers")
        if data is not None and data.size > MAX_LISTED:
            raise Refusal(f"its input {index} lists {data.size} numbers, more than {MAX_LISTED}")
        return None if data is None else [int(v) for v in np.atleast_1d(data).reshape(-1)]
