"""Attention: scores as one batched product, softmax, and the values as another.

Heads that share keys are laid side by side as rows of one product, so that keys and values are never repeated. The
order is that of the standard as corrected in onnx 1.22 (and of onnxruntime): scores, soft cap, mask, softmax.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgec.frontends.onnx.node import Node, Refusal
from edgec.frontends.onnx.translation import Result, Translate, Translation
from edgec.ir.dtype import DType
from edgec.ir.graph import Value

FLOAT32 = DType.FLOAT32
LOWEST = float(np.finfo(np.float32).min)  # stands for minus infinity, whose differences are no numbers
MOST_MASK_ELEMENTS = 1 << 26


@dataclass
class Mask:
    """What may be attended: numbers to add to the scores, and the places that take part; each may be absent."""

    context: Translation
    added: Value | None = None
    allowed: Value | None = None

    def add(self, bias: Value) -> None:
        """Add `bias`, which broadcasts to the scores, to them."""
        self.added = bias if self.added is None else self.context.add(self.added, bias)

    def allow(self, places: Value) -> None:
        """Leave out every place where `places` is false."""
        if self.allowed is None:
            self.allowed = places
        elif self.allowed.data is not None and places.data is not None:
            self.allowed = self.context.constant(self.allowed.data & places.data)
        else:
            self.allowed = self.context.emit("logical_and", [self.allowed, places])

    def applied(self, scores: Value, outside: float = LOWEST) -> Value:
        """The scores with the mask, `outside` where a place takes no part."""
        context, added, allowed = self.context, self.added, self.allowed
        if allowed is not None and allowed.data is not None and (added is None or added.data is not None):
            bias = np.where(allowed.data, np.float32(0), np.float32(outside))
            with np.errstate(over="ignore"):
                bias = bias if added is None else np.maximum(bias + added.data, np.float32(outside))
            added, allowed = context.constant(bias.astype(np.float32)), None
        if added is not None:
            scores = context.add(scores, added)
        if allowed is not None:
            scores = context.emit("select_v2", [allowed, scores, context.like(scores, outside)])
        return scores

    def attended(self) -> Value | None:
        """1 for each row that attends at least one place and 0 for others; None where all are known to attend some."""
        context, found = self.context, self.allowed
        if self.added is not None and (self.added.data is None or np.isneginf(self.added.data).any()):
            finite = self._finite(self.added)
            found = finite if found is None else context.emit("logical_and", [found, finite])
        if found is None:
            return None
        if found.data is not None:
            rows = found.data.any(axis=-1, keepdims=True)
            return None if rows.all() else context.constant(rows.astype(np.float32))
        reached = context.emit("reduce_any", [found, context.ints([found.type.rank - 1])], keep_dims=True)
        return context.cast(reached, FLOAT32)

    def _finite(self, added: Value) -> Value:
        if added.data is not None:
            return self.context.constant(np.asarray(~np.isneginf(added.data)))
        return self.context.emit("greater_equal", [added, self.context.like(added, LOWEST)])

    def bounded(self) -> None:
        """Raise minus infinities among the added numbers to the lowest finite one."""
        if self.added is None:
            return
        if self.added.data is not None:
            self.added = self.context.constant(np.maximum(self.added.data, np.float32(LOWEST)))
        else:
            self.added = self.context.emit("maximum", [self.added, self.context.like(self.added, LOWEST)])


@dataclass
class Scores:
    """The stages that an attention op can give as an output."""

    result: Value
    raw: Value
    capped: Value
    probabilities: Value


def attend(
    context: Translation, q: Value, k: Value, v: Value, scale: float, mask: Mask, softcap: float = 0.0
) -> Scores:
    """softmax(mask(softcap(scale * q k'))) v of [batch, heads, length, size]; q may have a multiple of the heads."""
    batch, heads, length, size = q.shape
    shared, total = k.shape[1], k.shape[2]
    if not shared or heads % shared or v.shape[:3] != k.shape[:3] or k.shape[3] != size or k.shape[0] != batch:
        raise Refusal(f"queries {list(q.shape)} do not fit keys {list(k.shape)} and values {list(v.shape)}")
    rows = [batch, shared, heads // shared * length]
    scaled = context.mul(q, context.like(q, scale)) if scale != 1 else q
    product = context.emit("batch_matmul", [context.reshape(scaled, [*rows, size]), k], adj_y=True)
    raw = capped = context.reshape(product, [batch, heads, length, total])
    if softcap:
        bent = context.emit("tanh", [context.mul(raw, context.like(raw, 1 / softcap))])
        capped = context.mul(bent, context.like(bent, softcap))
    alive = mask.attended()
    if alive is not None:
        mask.bounded()
    probabilities = context.emit("softmax", [mask.applied(capped)], beta=1.0)
    if alive is not None:
        probabilities = context.mul(probabilities, alive)
    product = context.emit("batch_matmul", [context.reshape(probabilities, [*rows, total]), v])
    return Scores(context.reshape(product, [batch, heads, length, v.shape[3]]), raw, capped, probabilities)


def split_heads(context: Translation, x: Value, heads: int) -> Value:
    """[batch, length, heads * size] as [batch, heads, length, size]; rank 4 stays."""
    if x.type.rank == 4:
        return x
    if x.type.rank != 3 or heads < 1 or x.shape[2] % heads:
        raise Refusal(f"{list(x.shape)} does not divide into {heads} heads")
    batch, length, width = x.shape
    return context.transpose(context.reshape(x, [batch, length, heads, width // heads]), [0, 2, 1, 3])


def joined_heads(context: Translation, x: Value) -> Value:
    """[batch, heads, length, size] as [batch, length, heads * size]."""
    batch, heads, length, size = x.shape
    return context.reshape(context.transpose(x, [0, 2, 1, 3]), [batch, length, heads * size])


def with_past(context: Translation, past: Value | None, x: Value) -> Value:
    """`x` after what earlier steps left of it, along the axis of time."""
    return x if past is None or not past.type.elements else context.emit("concatenation", [past, x], axis=2)


def causal(context: Translation, length: int, total: int, offset: int) -> Value:
    """Query i sees the keys up to i + offset."""
    return context.constant(np.tri(length, total, offset, dtype=np.bool_))


def attention(node: Node, context: Translation) -> Result:
    """Attention with shared heads, masks, soft cap, past keys and values, or a cache of given length."""
    given = node.input(0)
    q = split_heads(context, given, node.int("q_num_heads", 0))
    k, v = (split_heads(context, node.input(i), node.int("kv_num_heads", 0)) for i in (1, 2))
    past_length = 0 if node.optional(4) is None else node.input(4).shape[2]
    k, v = with_past(context, node.optional(4), k), with_past(context, node.optional(5), v)
    mask = _mask(node, context, q, k, past_length)
    mode = node.int("qk_matmul_output_mode", 0)
    if mode not in (0, 1, 2, 3):
        raise Refusal(f"qk_matmul_output_mode {mode} is unknown")
    plain = Mask(context, mask.added, mask.allowed)
    scale = node.float("scale", 1 / math.sqrt(max(q.shape[3], 1)))
    found = attend(context, q, k, v, scale, mask, node.float("softcap", 0.0))
    results = [joined_heads(context, found.result) if given.type.rank == 3 else found.result, k, v]
    if len(node.outputs) > 3 and node.outputs[3]:
        seen = plain.applied(found.capped, -math.inf) if mode == 2 else None
        results.append(seen or (found.raw, found.capped, found.capped, found.probabilities)[mode])
    return results


def _mask(node: Node, context: Translation, q: Value, k: Value, past_length: int) -> Mask:
    mask, length, total = Mask(context), q.shape[2], k.shape[2]
    given, filled = node.optional(3), node.optional(6)
    if given is not None:
        given = _padded(context, given, total)
        if given.dtype is DType.BOOL:
            mask.allow(given)
        else:
            mask.add(context.cast(given, FLOAT32))
    if filled is not None:
        limit = context.reshape(context.cast(filled, DType.INT32), [q.shape[0], 1, 1, 1])
        mask.allow(context.emit("less", [context.constant(np.arange(total, dtype=np.int32)), limit]))
    if not node.int("is_causal", 0):
        return mask
    if length * total > MOST_MASK_ELEMENTS:
        raise Refusal(f"its causal mask would have {length} x {total} elements")
    if filled is None or past_length:
        mask.allow(causal(context, length, total, past_length))
        return mask
    reach = context.sub(limit, context.ints(length))  # keys before the block of queries
    distance = np.arange(total, dtype=np.int32)[None, :] - np.arange(length, dtype=np.int32)[:, None]
    mask.allow(context.emit("less_equal", [context.constant(distance[None, None]), reach]))
    return mask


def _padded(context: Translation, given: Value, total: int) -> Value:
    """A mask as long as the keys: what it leaves out takes no part."""
    missing = total - given.shape[-1] if given.type.rank and given.shape[-1] != 1 else 0
    if missing <= 0:
        return given
    nothing: Sequence[int] = [*given.shape[:-1], missing]
    rest = context.filled(nothing, False if given.dtype is DType.BOOL else -math.inf, given.dtype)
    return context.emit("concatenation", [given, rest], axis=given.type.rank - 1)


TRANSLATIONS: dict[str, Translate] = {"Attention": attention}
