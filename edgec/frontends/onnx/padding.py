"""ONNX's sliding windows in TFLite's terms: SAME, VALID, or a separate pad before a VALID window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgec.frontends.onnx.node import Node, Refusal
from edgec.ops.infer import same_padding

Pads = list[tuple[int, int]]  # (before, after) for each spatial axis


@dataclass(frozen=True, slots=True)
class Window:
    """A window that slides over spatial axes; one entry of each list an axis.

    `pads` are those the node asks for, `reached` the ones its windows really touch: less at the end where the stride
    leaves positions out, more where `ceil_mode` adds a window. `outputs` counts the windows.
    """

    sizes: list[int]
    kernel: list[int]
    strides: list[int]
    dilations: list[int]
    pads: Pads
    reached: Pads
    outputs: list[int]
    same_at_this_size_only: bool = False

    @property
    def padding(self) -> str | None:
        """SAME or VALID where TFLite places the windows just so, else None."""
        if not any(before or after for before, after in self.reached):
            return "VALID"
        if self.same_at_this_size_only:
            return None
        same = [same_padding(*axis) for axis in zip(self.sizes, self.kernel, self.strides, self.dilations)]
        return "SAME" if self.reached == same else None

    def as_2d(self) -> Window:
        """A window over one axis as one of height 1 over two."""
        if len(self.sizes) == 2:
            return self
        return Window(
            [1, *self.sizes], [1, *self.kernel], [1, *self.strides], [1, *self.dilations],
            [(0, 0), *self.pads], [(0, 0), *self.reached], [1, *self.outputs], self.same_at_this_size_only,
        )  # fmt: skip


def node_window(node: Node, sizes: Sequence[int], kernel: Sequence[int]) -> Window:
    """The window of a convolution or pooling node over spatial sizes `sizes`.

    Reads `strides`, `dilations`, `pads`, `auto_pad` and `ceil_mode`.
    """
    rank = len(sizes)
    strides, dilations = positive_ints(node, "strides", rank), positive_ints(node, "dilations", rank)
    if len(kernel) != rank or min(kernel, default=1) < 1:
        raise Refusal(f"kernel shape {list(kernel)} does not fit {rank} spatial axes")
    pads = window_pads(node, sizes, kernel, strides, dilations)
    ceil = bool(node.int("ceil_mode", 0)) and node.attribute("auto_pad", "NOTSET") in ("NOTSET", "")
    reached, outputs = [], []
    for size, window, stride, dilation, (before, after) in zip(sizes, kernel, strides, dilations, pads):
        reach = (window - 1) * dilation + 1
        count = _windows(size, reach, stride, before, after, ceil)
        reached.append((before, max((count - 1) * stride + reach - size - before, 0)))
        outputs.append(count)
    stated = node.attribute("auto_pad", "NOTSET") in ("NOTSET", "")
    if node.sizes_vary and stated and not ceil:  # what a stride leaves out at the end is read at another size
        reached = list(pads)
    varies = node.sizes_vary and stated and max(strides, default=1) > 1
    return Window(list(sizes), list(kernel), strides, dilations, pads, reached, outputs, varies)


def _windows(size: int, reach: int, stride: int, before: int, after: int, ceil: bool) -> int:
    room = size + before + after - reach
    if room < 0:
        raise Refusal(f"a window of {reach} does not fit into {size} positions padded by {before} and {after}")
    if not ceil:
        return room // stride + 1
    count = -(-room // stride) + 1
    starts_past_the_end = (count - 1) * stride >= size + before
    return count - 1 if starts_past_the_end else count


def window_pads(
    node: Node, sizes: Sequence[int], kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> Pads:
    """The padding a node asks for by `pads` or `auto_pad`, for spatial sizes `sizes`."""
    mode = node.attribute("auto_pad", "NOTSET")
    rank = len(sizes)
    if mode == "VALID":
        return [(0, 0)] * rank
    if mode in ("SAME_UPPER", "SAME_LOWER"):
        pads = [same_padding(*axis) for axis in zip(sizes, kernel, strides, dilations)]
        return pads if mode == "SAME_UPPER" else [(after, before) for before, after in pads]
    if mode not in ("NOTSET", ""):
        raise Refusal(f"auto_pad '{mode}' is unknown")
    return explicit_pads(node, rank)


def explicit_pads(node: Node, rank: int) -> Pads:
    """The attribute `pads` as (before, after) for each spatial axis, zeros where it is absent."""
    flat = [int(p) for p in node.attribute("pads", [0] * (2 * rank))]
    if len(flat) != 2 * rank:
        raise Refusal(f"pads {flat} do not fit {rank} spatial axes")
    if min(flat, default=0) < 0:
        raise Refusal(f"negative pads {flat} are not supported")
    return list(zip(flat[:rank], flat[rank:]))


def positive_ints(node: Node, name: str, rank: int) -> list[int]:
    """A list attribute of `rank` positive integers, ones where it is absent."""
    values = [int(v) for v in node.attribute(name, None) or [1] * rank]
    if len(values) != rank or min(values) < 1:
        raise Refusal(f"{name} {values} do not fit {rank} spatial axes")
    return values
