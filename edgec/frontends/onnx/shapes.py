"""Static types of the graph's inputs: open dimensions are fixed by the user, an open batch becomes 1.

A size of 0 counts as open. By the standard it is an empty axis, but no network takes an input without elements, and
exporters write 0 (or -1) where they mean that the size is open.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from edgec.diagnostics import Note, Severity
from edgec.errors import ImportFailure
from edgec.frontends.onnx.element_types import NO_BFLOAT16, NOT_COMPUTED
from edgec.ir.dtype import DType
from edgec.ir.types import TensorType

if TYPE_CHECKING:
    from onnx import ValueInfoProto

    from edgec.frontends.onnx.model_file import OnnxModel

MAX_INPUT_BYTES = 2 << 30
IMAGE_RANKS = (4, 5)
BATCH = 1
SUGGESTED_IMAGE_SIZE, SUGGESTED_LENGTH = 224, 128  # what the messages' examples say

Dims = tuple[int | str, ...]
"""The dimensions of an input as the file has them: a size, or the name of an open one ("" where it has none)."""


@dataclass
class InputTypes:
    """Types of the inputs, and how they came about.

    `dims` holds the file's own dimensions, `shape_axes` the axis of the file that each axis of a given shape stands
    for, where the shape was given with the channels last; `notes` are for the user.
    """

    types: dict[str, TensorType] = field(default_factory=dict)
    dims: dict[str, Dims] = field(default_factory=dict)
    shape_axes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)


def input_types(model: OnnxModel, shapes: Mapping[str, Sequence[int]]) -> InputTypes:
    """The types of every input that is no initializer, in the model's order.

    Raises:
        ImportFailure: a dimension is unknown, or `shapes` names no input or does not fit one.
    """
    return _Inputs(model, shapes).run()


class _Inputs:
    def __init__(self, model: OnnxModel, shapes: Mapping[str, Sequence[int]]) -> None:
        self.model = model
        self.infos = {i.name: i for i in model.graph.input if not model.is_initializer(i.name)}
        self.shapes = {name: tuple(sizes) for name, sizes in shapes.items()}
        self.found = InputTypes()
        self.sizes_of: dict[str, tuple[int, str]] = {}  # symbol: its size, and the input whose shape says so
        self.batch = BATCH  # of first dimensions without a name

    def run(self) -> InputTypes:
        unknown = sorted(set(self.shapes) - set(self.infos))
        if unknown:
            names = ", ".join(f"'{name}'" for name in self.infos) or "none"
            raise ImportFailure(
                f"Reading '{self.model.name}': there is no input '{unknown[0]}' (--shape); the inputs are {names}."
            )
        dtypes = {name: self._dtype(info) for name, info in self.infos.items()}
        self.found.dims = {name: self._dims(info) for name, info in self.infos.items()}
        wanted = {name: self._in_order_of_file(name, sizes) for name, sizes in self.shapes.items()}
        for name, sizes in wanted.items():
            self._learn_symbols(name, sizes)
            if self.found.dims[name][:1] == ("",) and len(sizes) > 1:
                self.batch = sizes[0]
        for name, dims in self.found.dims.items():
            self._default_batch(name, dims, given=name in wanted)
        for name, dtype in dtypes.items():
            sizes = wanted.get(name) or self._sizes(name)
            self.found.types[name] = self._type(name, sizes, dtype)
        return self.found

    def _where(self, name: str) -> str:
        return f"Reading '{self.model.name}': input '{name}'"

    def _dtype(self, info: ValueInfoProto) -> DType:
        from onnx import helper

        where = self._where(info.name)
        if not info.type.HasField("tensor_type"):
            raise ImportFailure(f"{where} is no tensor; edgec takes tensors only.")
        tensor = info.type.tensor_type
        try:
            dtype = DType.from_numpy(np.dtype(helper.tensor_dtype_to_np_dtype(tensor.elem_type)))
        except (KeyError, ValueError, TypeError):
            raise ImportFailure(
                f"{where} has an element type that TFLite has not (ONNX type {tensor.elem_type})."
            ) from None
        if dtype is DType.BFLOAT16:
            raise ImportFailure(f"{where} {NO_BFLOAT16}.")
        if dtype in NOT_COMPUTED:
            raise ImportFailure(f"{where} is {dtype.value}, which no TFLite kernel computes with.")
        return dtype

    def _dims(self, info: ValueInfoProto) -> Dims:
        tensor = info.type.tensor_type
        if not tensor.HasField("shape"):
            if info.name not in self.shapes:
                raise ImportFailure(
                    f"{self._where(info.name)} has no shape; give it with --shape {info.name}=1,224,224,3."
                )
            return ("",) * len(self.shapes[info.name])
        dims = tensor.shape.dim
        return tuple(
            int(d.dim_value) if d.HasField("dim_value") and d.dim_value > 0 else str(d.dim_param) for d in dims
        )

    def _in_order_of_file(self, name: str, sizes: tuple[int, ...]) -> tuple[int, ...]:
        """A given shape in the file's order of axes; one that only fits with the channels last is turned, and noted."""
        dims, where = self.found.dims[name], self._where(name)
        if len(sizes) != len(dims):
            raise ImportFailure(f"{where} has {len(dims)} dimensions, --shape gives {len(sizes)}.")
        if _misfit(sizes, dims) is None:
            return sizes
        axes = (0, *range(2, len(dims)), 1)
        turned = tuple(sizes[axes.index(axis)] for axis in range(len(dims)))
        if len(dims) in IMAGE_RANKS and _misfit(turned, dims) is None:
            self.found.shape_axes[name] = axes
            message = f"--shape {name}={_text(sizes)} was read with the channels last; in the file it is "
            message += _text(turned)
            self.found.notes.append(Note(Severity.INFO, f"input '{name}'", message))
            return turned
        axis = _misfit(sizes, dims)
        assert axis is not None
        raise ImportFailure(f"{where}: dimension {axis} is {dims[axis]}, --shape gives {sizes[axis]}.")

    def _learn_symbols(self, name: str, sizes: tuple[int, ...]) -> None:
        for axis, (dim, size) in enumerate(zip(self.found.dims[name], sizes)):
            if not isinstance(dim, str) or not dim:
                continue
            known, whose = self.sizes_of.setdefault(dim, (size, name))
            if known != size:
                raise ImportFailure(
                    f"{self._where(name)}: dimension {axis} ('{dim}') is {size} by --shape, but {known} in the shape "
                    f"of input '{whose}'; dimensions of one name have one size."
                )

    def _default_batch(self, name: str, dims: Dims, *, given: bool) -> None:
        """An open first dimension with a name becomes 1, and so does every other one of that name."""
        if not given and len(dims) > 1 and isinstance(dims[0], str) and dims[0]:
            self.sizes_of.setdefault(dims[0], (BATCH, name))

    def _sizes(self, name: str) -> tuple[int, ...]:
        dims = self.found.dims[name]
        sizes = [self._size(dim, axis, len(dims)) for axis, dim in enumerate(dims)]
        unknown = [axis for axis, size in enumerate(sizes) if size is None]
        if unknown:
            labels = [f"dimension {axis} is {_label(dims[axis])}" for axis in unknown]
            fallback = SUGGESTED_IMAGE_SIZE if len(dims) in IMAGE_RANKS else SUGGESTED_LENGTH
            example = _text([fallback if size is None else size for size in sizes])
            raise ImportFailure(
                f"{self._where(name)}: {', '.join(labels)}; fix it with --shape {name}={example} (sizes of your own)."
            )
        known = tuple(size for size in sizes if size is not None)
        if len(dims) > 1 and isinstance(dims[0], str) and known[0] == BATCH:
            named = f"batch ({_label(dims[0])})" if dims[0] else "batch"
            example = f"--shape {name}={_text(('N', *known[1:]))}"
            message = f"its open {named} was fixed at 1; {example} gives it another size"
            self.found.notes.append(Note(Severity.INFO, f"input '{name}'", message))
        return known

    def _size(self, dim: int | str, axis: int, rank: int) -> int | None:
        if isinstance(dim, int):
            return dim
        if dim and dim in self.sizes_of:
            return self.sizes_of[dim][0]
        return self.batch if axis == 0 and rank > 1 else None

    def _type(self, name: str, sizes: Sequence[int], dtype: DType) -> TensorType:
        where = self._where(name)
        try:
            found = TensorType(tuple(int(size) for size in sizes), dtype)
        except ValueError as error:
            raise ImportFailure(f"{where}: {error}.") from error
        if found.bytes > MAX_INPUT_BYTES:
            raise ImportFailure(f"{where} has shape {list(sizes)}, which takes more than 2 GiB.")
        return found


def _misfit(sizes: Sequence[int], dims: Dims) -> int | None:
    """The first axis whose size the file fixes otherwise."""
    return next((i for i, (s, d) in enumerate(zip(sizes, dims)) if isinstance(d, int) and s != d), None)


def _label(dim: int | str) -> str:
    return f"'{dim}'" if dim else "unknown"


def _text(sizes: Sequence[int | str]) -> str:
    return ",".join(str(size) for size in sizes)
