"""com.microsoft: layer norms with a residual, embeddings with a norm, rotary positions."""

from __future__ import annotations

from edgec.frontends.onnx.attention import joined_heads, split_heads
from edgec.frontends.onnx.movement import sliced
from edgec.frontends.onnx.node import Node, Refusal
from edgec.frontends.onnx.normalization import affine, inverse_root, standardized
from edgec.frontends.onnx.translation import Result, Translate, Translation
from edgec.ir.dtype import DType
from edgec.ir.graph import Value
from edgec.ops.infer import normalize_axis


def skip_layer_normalization(node: Node, context: Translation) -> Result:
    """SkipLayerNormalization: the norm of input + skip + bias, and that sum."""
    total = _total(node, context, 4)
    result, mean, inverse = standardized(context, total, [total.type.rank - 1], node.float("epsilon", 1e-12))
    return [affine(context, result, node.input(2), node.optional(3)), mean, inverse, total]


def skip_simplified_layer_normalization(node: Node, context: Translation) -> Result:
    """SkipSimplifiedLayerNormalization: as SkipLayerNormalization, by the root of the mean square."""
    total = _total(node, context, 3)
    inverse = _root_mean_square(context, total, [total.type.rank - 1], node.float("epsilon", 1e-12))
    result = context.mul(context.mul(total, inverse), node.input(2))
    return [result, inverse, inverse, total]


def simplified_layer_normalization(node: Node, context: Translation) -> Result:
    """SimplifiedLayerNormalization: x / sqrt(mean(x²) + epsilon) * scale over the axes from `axis` on."""
    x = node.input(0)
    axes = list(range(normalize_axis(node.int("axis", -1), x.type.rank), x.type.rank))
    inverse = _root_mean_square(context, x, axes, node.float("epsilon", 1e-5))
    return [context.mul(context.mul(x, inverse), node.input(1)), inverse]


def _total(node: Node, context: Translation, bias_index: int) -> Value:
    total, bias = context.add(node.input(0), node.input(1)), node.optional(bias_index)
    return total if bias is None else context.add(total, bias)


def _root_mean_square(context: Translation, x: Value, axes: list[int], epsilon: float) -> Value:
    power = context.emit("mean", [context.emit("square", [x]), context.ints(axes)], keep_dims=True)
    return inverse_root(context, power, epsilon)


def embed_layer_normalization(node: Node, context: Translation) -> Result:
    """EmbedLayerNormalization: the norm of the embeddings of words, positions and segments."""
    words, positions = node.input(0), node.optional(8)
    length = words.shape[1]
    total = context.emit("gather", [node.input(2), context.cast(words, DType.INT32)], axis=0)
    if positions is None:
        table = node.input(3)
        placed = sliced(context, table, [0, 0], [length, table.shape[1]])
    else:
        placed = context.emit("gather", [node.input(3), context.cast(positions, DType.INT32)], axis=0)
    total = context.add(total, placed)
    if node.optional(1) is not None and node.optional(4) is not None:
        segments = context.emit("gather", [node.input(4), context.cast(node.input(1), DType.INT32)], axis=0)
        total = context.add(total, segments)
    result, _, _ = standardized(context, total, [2], node.float("epsilon", 1e-12))
    normed = affine(context, result, node.input(5), node.input(6))
    if len(node.outputs) < 2 or not node.outputs[1]:
        return [normed, normed, total]
    mask = node.optional(7)
    if mask is None:
        raise Refusal("its second output asks for the lengths of a mask that it has not")
    return [normed, context.emit("sum", [context.cast(mask, DType.INT32), context.ints([1])]), total]


def rotary_embedding(node: Node, context: Translation) -> Value:
    """RotaryEmbedding: pairs of numbers turned by the angle of their position, which tables of run time hold."""
    given, positions = node.input(0), context.cast(node.input(1), DType.INT32)
    width = 2 * node.input(2).shape[1]
    heads = node.int("num_heads", 0) or (given.shape[-1] // width if given.type.rank == 3 else 0)
    if node.int("is_packed_batching", 0):
        raise Refusal("packed batches are not supported")
    x = split_heads(context, given, heads)
    batch, _, length, size = x.shape
    if positions.shape not in ((batch, length), (1,)) or width > size:
        raise Refusal(f"positions {list(positions.shape)} and tables of {width} do not fit {list(x.shape)}")
    if positions.shape == (1,):
        steps = context.constant([list(range(length))], DType.INT32)
        positions = context.add(context.reshape(positions, [1, 1]), steps)
    tables = []
    for index in (2, 3):
        rows = context.emit("gather", [node.input(index), positions], axis=0)
        tables.append(context.reshape(rows, [rows.shape[0], 1, length, width // 2]))
    turned = rotated(context, x, tables[0], tables[1], bool(node.int("interleaved", 0)))
    return joined_heads(context, turned) if given.type.rank == 3 else turned


def rotated(context: Translation, x: Value, cosine: Value, sine: Value, interleaved: bool) -> Value:
    """The first numbers of the last axis of [batch, heads, length, size] turned in pairs; the others stay."""
    *outer, size = x.shape
    half = cosine.shape[-1]
    turned = sliced(context, x, [0] * 4, [*outer, 2 * half])
    if interleaved:
        pairs = context.reshape(turned, [*outer, half, 2])
        first, second = (
            context.reshape(sliced(context, pairs, [0, 0, 0, 0, i], [*outer, half, 1]), [*outer, half]) for i in (0, 1)
        )
    else:
        first, second = (sliced(context, turned, [0, 0, 0, i * half], [*outer, half]) for i in (0, 1))
    parts = [
        context.sub(context.mul(first, cosine), context.mul(second, sine)),
        context.add(context.mul(second, cosine), context.mul(first, sine)),
    ]
    if interleaved:
        parts = [context.reshape(part, [*outer, half, 1]) for part in parts]
        result = context.reshape(context.emit("concatenation", parts, axis=4), [*outer, 2 * half])
    else:
        result = context.emit("concatenation", parts, axis=3)
    if 2 * half == size:
        return result
    rest = sliced(context, x, [0, 0, 0, 2 * half], [*outer, size - 2 * half])
    return context.emit("concatenation", [result, rest], axis=3)


CONTRIB_OPS: dict[str, Translate] = {
    "EmbedLayerNormalization": embed_layer_normalization,
    "RotaryEmbedding": rotary_embedding,
    "SimplifiedLayerNormalization": simplified_layer_normalization,
    "SkipLayerNormalization": skip_layer_normalization,
    "SkipSimplifiedLayerNormalization": skip_simplified_layer_normalization,
}
