"""Ops that change or make shapes and element types, and ops that make tensors."""

from __future__ import annotations

import math

import numpy as np

from edgec.frontends.onnx.allowance import check_elements
from edgec.frontends.onnx.element_types import CONVERTED, NO_BFLOAT16, computed_type
from edgec.frontends.onnx.node import Node, Refusal
from edgec.frontends.onnx.runtime_operands import small_ints
from edgec.frontends.onnx.translation import Result, Translate, Translation
from edgec.frontends.onnx.widening import WIDE, computed_in
from edgec.ir.dtype import DType
from edgec.ir.graph import Value
from edgec.ops.infer import broadcast_shapes, normalize_axis

CASTABLE = (
    DType.FLOAT32, DType.INT8, DType.UINT8, DType.INT16, DType.UINT16, DType.INT32, DType.UINT32, DType.INT64,
    DType.BOOL,
)  # fmt: skip


def required_ints(node: Node, index: int, attribute: str = "") -> list[int]:
    """As `Node.ints`, refusing where neither the operand nor the attribute is given."""
    values = node.ints(index, attribute)
    if values is None:
        raise Refusal(f"its input {index} is missing")
    return values


def reshape(node: Node, context: Translation) -> Value:
    """Reshape; a 0 copies the input's size unless allowzero is set, one -1 is filled in."""
    if not node.is_constant(1):
        return _as_declared(node, context)
    x, given = node.input(0), required_ints(node, 1, "shape")
    wanted = given
    if not node.int("allowzero", 0):
        if any(size == 0 and axis >= x.type.rank for axis, size in enumerate(wanted)):
            raise Refusal(f"the shape {wanted} copies a size that {list(x.shape)} has not")
        wanted = [x.shape[axis] if size == 0 else size for axis, size in enumerate(wanted)]
    known = math.prod(size for size in wanted if size != -1)
    if wanted.count(-1) == 1 and known:
        wanted = [x.type.elements // known if size == -1 else size for size in wanted]
    if min(wanted, default=0) < 0 or math.prod(wanted) != x.type.elements:
        raise Refusal(f"{list(x.shape)} does not fit into the shape {given}")
    return context.reshape(x, wanted)


def _as_declared(node: Node, context: Translation) -> Value:
    """The operand in the shape that the model states for the result."""
    x, wanted = node.input(0), node.declared_shape()
    if math.prod(wanted) != x.type.elements:
        raise Refusal(f"{list(x.shape)} does not fit into the shape {list(wanted)} that the model states")
    return context.reshape(x, wanted)


def flatten(node: Node, context: Translation) -> Value:
    """Flatten to two dimensions, cut before `axis`."""
    x, axis = node.input(0), node.int("axis", 1)
    cut = axis + x.type.rank if axis < 0 else axis
    return context.reshape(x, [math.prod(x.shape[:cut]), math.prod(x.shape[cut:])])


def squeeze(node: Node, context: Translation) -> Value:
    """Squeeze the named axes (an attribute before opset 13), or all of size 1."""
    if not node.is_constant(1):
        return _as_declared(node, context)
    x, named = node.input(0), node.ints(1, "axes")
    axes = [i for i, size in enumerate(x.shape) if size == 1]
    if named is not None:
        axes = [normalize_axis(axis, x.type.rank) for axis in named]
    if any(x.shape[axis] != 1 for axis in axes):
        raise Refusal(f"axes {named} of {list(x.shape)} have not size 1")
    return context.reshape(x, [size for i, size in enumerate(x.shape) if i not in axes])


def unsqueeze(node: Node, context: Translation) -> Value:
    """Unsqueeze: new axes (an attribute before opset 13) at positions of the result."""
    if not node.is_constant(1):
        return _as_declared(node, context)
    x, named = node.input(0), required_ints(node, 1, "axes")
    rank = x.type.rank + len(named)
    axes = {normalize_axis(axis, rank) for axis in named}
    if len(axes) != len(named):
        raise Refusal(f"axes {named} name one axis twice")
    sizes = iter(x.shape)
    return context.reshape(x, [1 if i in axes else next(sizes) for i in range(rank)])


def expand(node: Node, context: Translation) -> Value:
    """Expand: the two shapes broadcast with each other."""
    x = node.input(0)
    given = tuple(required_ints(node, 1)) if node.is_constant(1) else node.declared_shape()
    shape = broadcast_shapes([x.shape, given])
    if x.type.elements == math.prod(shape):
        return context.reshape(x, shape)
    return context.emit("broadcast_to", [x, context.ints(list(shape))])


def tile(node: Node, context: Translation) -> Value:
    """Tile by repeats that are constant, or follow from the shape that the model states for the result."""
    x = node.input(0)
    repeats = required_ints(node, 1) if node.is_constant(1) else _repeats(node, x)
    if all(r == 1 for r in repeats):
        return x
    return context.emit("tile", [x, context.ints(repeats)])


def _repeats(node: Node, x: Value) -> list[int]:
    wanted = node.declared_shape()
    if len(wanted) != x.type.rank or 0 in x.shape or any(size % own for size, own in zip(wanted, x.shape)):
        raise Refusal(f"{list(x.shape)} does not tile the shape {list(wanted)} that the model states")
    return [size // own for size, own in zip(wanted, x.shape)]


def identity(node: Node, context: Translation) -> Value:
    """Identity leaves no op behind."""
    return node.input(0)


def dropout(node: Node, context: Translation) -> Result:
    """Dropout at inference keeps everything; the mask is all true, before opset 12 all false as in onnxruntime."""
    training = node.array(2)
    if training is not None and bool(training.reshape(-1)[0]):
        raise Refusal("training_mode is set; export the model for inference")
    x = node.input(0)
    if len(node.outputs) < 2 or not node.outputs[1]:
        return x
    mask_dtype = DType.BOOL if node.opset >= 10 else x.dtype
    return [x, context.filled(x.shape, int(node.opset >= 12), mask_dtype)]


def onnx_dtype(number: int) -> DType:
    """The element type of an ONNX type number; refuses what TFLite's cast has no kernel for."""
    from onnx import TensorProto, helper

    if number == TensorProto.BFLOAT16:
        raise Refusal(f"its result {NO_BFLOAT16}")
    try:
        dtype = DType.from_numpy(np.dtype(helper.tensor_dtype_to_np_dtype(number)))
    except (KeyError, ValueError, TypeError):
        dtype = None
    if dtype is None or (dtype not in CASTABLE and dtype not in CONVERTED):
        name = TensorProto.DataType.Name(number) if number in TensorProto.DataType.values() else str(number)
        raise Refusal(f"the element type {name} is not supported")
    return dtype


def cast(node: Node, context: Translation) -> Value:
    """Cast; TFLite's truncates floats and gives x != 0 for booleans, as ONNX. float16 and float64 become float32."""
    dtype = onnx_dtype(node.int("to", 0))
    if dtype in CONVERTED:
        context.converted.add(dtype)
    return _cast(node, context, computed_type(dtype))


def cast_like(node: Node, context: Translation) -> Value:
    """CastLike: to the type of the second operand."""
    return _cast(node, context, node.input(1).dtype)


def _cast(node: Node, context: Translation, dtype: DType) -> Value:
    x = node.input(0)
    for found in (x.dtype, dtype):
        if found not in CASTABLE:
            raise Refusal(f"the element type {found.value} is not supported")
    return context.cast(x, dtype)


def _only_constant(what: str) -> Translate:
    """For ops that are folded wherever they can be translated."""

    def translate(node: Node, context: Translation) -> Value:
        raise Refusal(f"{what} is only known at run time; edgec needs static shapes")

    return translate


def one_hot(node: Node, context: Translation) -> Value:
    """OneHot; negative indices count from the end."""
    indices = node.input(0)
    rank = indices.type.rank
    if node.is_constant(1):
        depth = required_ints(node, 1)[0]
    else:
        depth = node.declared_shape()[normalize_axis(node.int("axis", -1), rank + 1)]
    off, on = _on_off(node, context)
    computed_in(indices.dtype, WIDE)
    indices = context.cast(indices, DType.INT32)
    below = context.emit("less", [indices, context.like(indices, 0)])
    indices = context.emit("select_v2", [below, context.add(indices, context.like(indices, depth)), indices])
    axis = normalize_axis(node.int("axis", -1), rank + 1)
    dtype = on.dtype
    wide = computed_in(dtype, (*WIDE, DType.INT8, DType.UINT8, DType.BOOL))
    choices = [context.cast(v, wide) for v in (on, off)]
    return context.cast(context.emit("one_hot", [indices, context.ints(depth), *choices], axis=axis), dtype)


def _on_off(node: Node, context: Translation) -> list[Value]:
    values = node.input(2)
    if values.data is not None:
        return [context.constant(values.data[i], values.dtype) for i in (0, 1)]
    one = context.ints([1])
    return [
        context.emit("strided_slice", [values, context.ints([i]), context.ints([i + 1]), one], shrink_axis_mask=1)
        for i in (0, 1)
    ]


def trilu(node: Node, context: Translation) -> Value:
    """Trilu: zero below (upper=1) or above the k-th diagonal, by a constant mask."""
    x = node.input(0)
    if x.type.rank < 2:
        raise Refusal(f"its operand {list(x.shape)} is no matrix")
    mask = _triangle(node, context, x)
    if x.dtype is DType.BOOL:
        return context.emit("logical_and", [x, mask])
    return context.emit("select_v2", [mask, x, context.like(x, 0)])


def _triangle(node: Node, context: Translation, x: Value) -> Value:
    """Where Trilu keeps `x`: a constant, or a comparison where the diagonal is only known at run time."""
    check_elements(x.shape[-2:])
    upper = node.int("upper", 1)
    if node.is_constant(1):
        offset = max(-x.shape[-2], min((node.ints(1) or [0])[0], x.shape[-1]))  # beyond it all or nothing is kept
        ones = np.ones(x.shape[-2:], np.bool_)
        return context.constant(np.triu(ones, offset) if upper else np.tril(ones, offset))
    k = node.input(1)
    if k.type.elements != 1:
        raise Refusal(f"its diagonal '{k.name}' has shape {list(k.shape)}, it must be one number")
    rows, columns = (np.arange(size, dtype=np.int32) for size in x.shape[-2:])
    diagonals = context.constant(columns - rows[:, None], DType.INT32)
    k_at_run_time = context.reshape(small_ints(context, k), [])
    return context.emit("greater_equal" if upper else "less_equal", [diagonals, k_at_run_time])


def counted(node: Node, context: Translation) -> Value:
    """Range from numbers of run time: start + i * delta, for as many as the model states."""
    start, delta = node.input(0), node.input(2)
    (count,) = node.declared_shape()
    wide = computed_in(start.dtype, WIDE)
    places = context.constant(np.arange(count), wide)
    product = context.mul(places, context.reshape(context.cast(delta, wide), []))
    return context.cast(context.add(product, context.reshape(context.cast(start, wide), [])), start.dtype)


def constant_of_shape(node: Node, context: Translation) -> Value:
    """ConstantOfShape of the shape that the model states."""
    value = node.attribute("value")
    value = np.zeros(1, np.float32) if value is None else np.asarray(value)
    return context.constant(np.full(node.declared_shape(), value.reshape(())))


def eye_like(node: Node, context: Translation) -> Value:
    """EyeLike is a constant: it asks the input for its shape only."""
    x = node.input(0)
    dtype = computed_type(onnx_dtype(node.int("dtype", 0))) if node.has("dtype") else x.dtype
    check_elements(x.shape)
    rows, columns = x.shape
    return context.constant(np.eye(rows, columns, node.int("k", 0), dtype.numpy), dtype)


TRANSLATIONS: dict[str, Translate] = {
    "Reshape": reshape,
    "Flatten": flatten,
    "Squeeze": squeeze,
    "Unsqueeze": unsqueeze,
    "Expand": expand,
    "Tile": tile,
    "Identity": identity,
    "Dropout": dropout,
    "Cast": cast,
    "CastLike": cast_like,
    "Constant": _only_constant("its value"),
    "ConstantOfShape": constant_of_shape,
    "Shape": _only_constant("the shape"),
    "Size": _only_constant("the size"),
    "Range": counted,
    "OneHot": one_hot,
    "Trilu": trilu,
    "EyeLike": eye_like,
}
