"""The intermediate representation: TFLite's vocabulary as typed graphs."""

from edgec.ir.dtype import DType
from edgec.ir.graph import Graph, Module, Op, Signature, Value
from edgec.ir.types import QuantParams, TensorType

__all__ = ["DType", "Graph", "Module", "Op", "QuantParams", "Signature", "TensorType", "Value"]
