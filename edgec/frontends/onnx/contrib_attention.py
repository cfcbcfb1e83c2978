"""com.microsoft: attention of packed or separate projections, as onnxruntime's transformer optimizer writes it."""

from __future__ import annotations

import math

import numpy as np

from edgec.frontends.onnx.attention import Mask, Scores, attend, causal, joined_heads, split_heads, with_past
from edgec.frontends.onnx.movement import sliced
from edgec.frontends.onnx.node import Node, Refusal
from edgec.frontends.onnx.translation import Result, Translate, Translation
from edgec.ir.dtype import DType
from edgec.ir.graph import Value


def multi_head_attention(node: Node, context: Translation) -> Result:
    """MultiHeadAttention of separate or packed queries, keys and values, with biases, masks and past keys."""
    heads = node.int("num_heads", 0)
    if any(node.optional(i) is not None for i in (8, 9)):
        raise Refusal("a cache that is shared or indirect is not supported")
    parts = _separate(node, context)
    bias = node.optional(3)
    if bias is not None:
        widths = [part.shape[-1] if part.type.rank == 3 else part.shape[1] * part.shape[3] for part in parts]
        biases = _cut(context, bias, widths)
        parts = [_with_bias(context, part, own) for part, own in zip(parts, biases)]
    q, k, v = (split_heads(context, part, heads) for part in parts)
    k, v = with_past(context, node.optional(6), k), with_past(context, node.optional(7), v)
    found = _attended(node, context, q, k, v, node.optional(4))
    return [joined_heads(context, found.result), k, v, found.raw]


def _attended(node: Node, context: Translation, q: Value, k: Value, v: Value, padding: Value | None) -> Scores:
    """Attention among heads, with the masks that both ops have in the same places but for that of `padding`."""
    mask = Mask(context)
    _add_padding(node, context, mask, padding, q, k)
    if node.optional(5) is not None:
        mask.add(node.input(5))
    if node.int("unidirectional", 0):
        mask.allow(causal(context, q.shape[2], k.shape[2], k.shape[2] - q.shape[2]))
    scale = node.float("scale", 0.0) or 1 / math.sqrt(max(q.shape[3], 1))
    return attend(context, q, k, v, scale, mask)


def _separate(node: Node, context: Translation) -> list[Value]:
    """Queries, keys and values as [batch, length, width], or as heads where they come so."""
    query, key, value = node.input(0), node.optional(1), node.optional(2)
    if query.type.rank == 5:  # [batch, length, heads, 3, size]
        return _unpacked(context, query, 3)
    if key is None:
        raise Refusal(f"queries {list(query.shape)} come without keys")
    if key.type.rank == 5:  # [batch, length, heads, 2, size]
        return [query, *_unpacked(context, key, 2)]
    if value is None:
        raise Refusal(f"keys {list(key.shape)} come without values")
    return [query, key, value]


def _unpacked(context: Translation, x: Value, count: int) -> list[Value]:
    batch, length, heads, packed, size = x.shape
    if packed != count:
        raise Refusal(f"{list(x.shape)} packs {packed} tensors, not {count}")
    parts = [sliced(context, x, [0, 0, 0, i, 0], [batch, length, heads, 1, size]) for i in range(count)]
    return [context.reshape(part, [batch, length, heads * size]) for part in parts]


def _cut(context: Translation, x: Value, widths: list[int]) -> list[Value]:
    """A vector in parts of these widths."""
    if x.shape != (sum(widths),):
        raise Refusal(f"a bias {list(x.shape)} does not fit widths {widths}")
    starts = np.cumsum([0, *widths]).tolist()
    if x.data is not None:
        return [context.constant(x.data[a : a + n], x.dtype) for a, n in zip(starts, widths)]
    return [sliced(context, x, [a], [n]) for a, n in zip(starts, widths)]


def _with_bias(context: Translation, x: Value, bias: Value) -> Value:
    if x.type.rank == 4:
        return context.add(x, context.reshape(bias, [1, x.shape[1], 1, x.shape[3]]))
    return context.add(x, bias)


def _add_padding(
    node: Node, context: Translation, mask: Mask, given: Value | None, q: Value, k: Value
) -> None:  # fmt: skip
    """What a mask leaves out gets mask_filter_value: ones of [batch, …, keys], or the number of keys of each entry."""
    if given is None:
        return
    batch, total = q.shape[0], k.shape[2]
    if given.shape in ((batch,), (batch, 1)):
        limit = context.reshape(context.cast(given, DType.INT32), [batch, 1, 1, 1])
        kept = context.emit("less", [context.constant(np.arange(total, dtype=np.int32)), limit])
    elif given.shape == (batch, total):
        kept = context.emit("greater", [context.reshape(given, [batch, 1, 1, total]), context.like(given, 0)])
    elif given.shape == (batch, q.shape[2], total):
        kept = context.emit("greater", [context.reshape(given, [batch, 1, *given.shape[1:]]), context.like(given, 0)])
    else:
        raise Refusal(f"a mask {list(given.shape)} for {batch} entries of {total} keys is not supported")
    outside = context.constant(np.float32(node.float("mask_filter_value", -10000.0)))
    mask.add(context.emit("select_v2", [kept, context.constant(np.float32(0)), outside]))


def attention(node: Node, context: Translation) -> Result:
    """Attention: one projection to queries, keys and values, then attention among them."""
    x, weight, bias, past = node.input(0), node.input(1), node.optional(2), node.optional(4)
    heads = node.int("num_heads", 0)
    if node.int("do_rotary", 0) or node.optional(6) is not None or weight.type.rank != 2:
        raise Refusal("rotary positions inside of it, and a shared cache, are not supported")
    widths = [int(w) for w in node.attribute("qkv_hidden_sizes", [])] or [weight.shape[1] // 3] * 3
    q, k, v = (split_heads(context, part, heads) for part in _projected(context, x, weight, bias, widths))
    if past is not None and past.type.elements:  # [2, batch, heads, length, size]
        earlier = [context.reshape(sliced(context, past, [i, 0, 0, 0, 0], [1, *past.shape[1:]]), past.shape[1:])
                   for i in (0, 1)]  # fmt: skip
        k, v = with_past(context, earlier[0], k), with_past(context, earlier[1], v)
    found = _attended(node, context, q, k, v, node.optional(3))
    results = [joined_heads(context, found.result)]
    if len(node.outputs) > 1 and node.outputs[1]:
        layers = [context.reshape(part, [1, *part.shape]) for part in (k, v)]
        results.append(context.emit("concatenation", layers, axis=0))
    return results


def _projected(
    context: Translation, x: Value, weight: Value, bias: Value | None, widths: list[int]
) -> list[Value]:  # fmt: skip
    """Queries, keys and values of constant weights by a product each, of others by one product that is cut."""
    if sum(widths) != weight.shape[1] or min(widths) < 1 or x.type.rank != 3 or x.shape[2] != weight.shape[0]:
        raise Refusal(f"weights {list(weight.shape)} do not fit {list(x.shape)} and widths {widths}")
    if weight.data is None or (bias is not None and bias.data is None):
        product = context.emit("batch_matmul", [x, context.reshape(weight, [1, *weight.shape])])
        product = product if bias is None else context.add(product, bias)
        starts = np.cumsum([0, *widths]).tolist()
        return [sliced(context, product, [0, 0, a], [*x.shape[:2], n]) for a, n in zip(starts, widths)]
    starts = np.cumsum(widths)[:-1]
    weights = np.split(weight.data, starts, axis=1)
    biases = [None] * 3 if bias is None else _cut(context, bias, widths)
    return [
        context.emit(
            "fully_connected", [x, context.constant(np.ascontiguousarray(own.T), weight.dtype), own_bias],
            keep_num_dims=True,
        )
        for own, own_bias in zip(weights, biases)
    ]  # fmt: skip


CONTRIB_OPS: dict[str, Translate] = {"Attention": attention, "MultiHeadAttention": multi_head_attention}
