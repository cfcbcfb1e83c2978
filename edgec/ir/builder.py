"""Builds ops with inferred result types and complete attributes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from edgec.ir.dtype import DType
from edgec.ir.graph import Graph, Op, Value
from edgec.ir.op_def import OpRegistry
from edgec.ir.types import QuantParams, TensorType
from edgec.schema.defaults import default_attributes


class Builder:
    """Emits ops into a graph, at the end or before an anchor.

    `source` and `name` set on the builder are given to every op it emits until they are changed.
    """

    def __init__(self, graph: Graph, op_defs: OpRegistry, *, before: Op | None = None, source: str = "") -> None:
        self.graph = graph
        self.op_defs = op_defs
        self.before = before
        self.source = source

    def emit(
        self,
        opcode: str,
        operands: Sequence[Value | None],
        *,
        name: str = "",
        source: str | None = None,
        result_types: Sequence[TensorType] | None = None,
        quant: QuantParams | None = None,
        **attributes: Any,
    ) -> Value:
        """Emit an op with one result and return the result; arguments as for `emit_op`."""
        return self.emit_op(
            opcode, operands, name=name, source=source, result_types=result_types, quant=quant, **attributes
        ).result

    def emit_op(
        self,
        opcode: str,
        operands: Sequence[Value | None],
        *,
        name: str = "",
        source: str | None = None,
        result_types: Sequence[TensorType] | None = None,
        quant: QuantParams | None = None,
        **attributes: Any,
    ) -> Op:
        """Emit an op; attributes that are not given take the schema's defaults, result types are inferred.

        `quant` is put on every result. `name` names the op and, with a suffix where there are several, its results.

        Raises:
            ValueError: unknown opcode or attribute, or operands that do not fit.
        """
        definition = self.op_defs.get(opcode)
        if definition is None:
            raise ValueError(f"there is no op '{opcode}'")
        complete = default_attributes(definition.options)
        unknown = set(attributes) - set(complete)
        if unknown:
            raise ValueError(f"{opcode} has no attribute '{sorted(unknown)[0]}'")
        complete.update(attributes)
        name = name or self.graph.fresh_name(opcode)
        op = Op(opcode, operands, (), complete, name=name, source=self.source if source is None else source)
        try:
            definition.check_signature(op)
            types = list(definition.infer(op) if result_types is None else result_types)
        except ValueError as error:
            op._drop_operands()
            raise ValueError(f"{op.describe()}: {error}") from error
        op._results = tuple(
            Value(name if len(types) == 1 else f"{name}:{i}", replace(t, quant=quant) if quant else t)
            for i, t in enumerate(types)
        )
        for result in op._results:
            result.producer = op
        if self.before is None:
            return self.graph.append(op)
        return self.graph.insert_before(self.before, op)

    def constant(
        self,
        data: np.ndarray | Sequence[Any] | float,
        dtype: DType | None = None,
        name: str = "",
        quant: QuantParams | None = None,
    ) -> Value:
        """A constant from anything numpy takes; float64 becomes float32 unless `dtype` says otherwise."""
        array = np.asarray(data)
        if dtype is not None:
            array = array.astype(dtype.numpy, copy=False)
        elif array.dtype == np.float64:
            array = array.astype(np.float32)
        return self.graph.constant(np.ascontiguousarray(array).reshape(array.shape), name, dtype=dtype, quant=quant)

    def ints(self, values: ArrayLike, name: str = "") -> Value:
        """An int32 constant: a shape, axis, permutation, or pairs of paddings."""
        return self.constant(np.asarray(values, np.int32), name=name)
