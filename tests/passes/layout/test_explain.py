"""The sentence for each transpose that is left, in full."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from edgec.passes.base import PassContext
from edgec.passes.layout.move_transposes import MoveTransposes, remaining_transposes

Nchw = Callable[[], Any]


def explained(module: Any, **options: bool) -> list[str]:
    MoveTransposes(**options).run(module, PassContext())
    return remaining_transposes(module)


def test_nothing_is_left_of_a_plain_network(nchw: Nchw) -> None:
    g = nchw()
    assert explained(g.module(y=g.relu(g.conv(g.input("x", 1, 3, 8, 8), 4)))) == []


def test_borders_that_are_kept(nchw: Nchw) -> None:
    g = nchw()
    x = g.transpose(g.input("x", 1, 3, 8, 8), [0, 2, 3, 1], name="enter")
    y = g.b.emit("max_pool_2d", [x], padding="VALID", stride_h=2, stride_w=2, filter_height=2, filter_width=2, name="p")
    assert explained(g.module(y=g.transpose(y, [0, 3, 1, 2], name="leave")), keep_nchw=True) == [
        "transpose 'enter' moves 768 bytes: input 'x' keeps its axes and max_pool_2d 'p' needs its axes where they "
        "are.",
        "transpose 'leave' moves 192 bytes: max_pool_2d 'p' needs its axes where they are and output 'y' keeps its "
        "axes.",
    ]


def test_a_flatten_that_is_an_output(nchw: Nchw) -> None:
    g = nchw()
    x = g.b.emit("softmax", [g.input("x", 2, 8, 6)], beta=1.0, name="weights")
    y = g.reshape(g.transpose(x, [0, 2, 1], name="t"), 2, 48, name="flat")
    y = g.b.emit("softmax", [y], beta=1.0, name="last")
    assert explained(g.module(y=y)) == [
        "transpose 't' moves 384 bytes: softmax 'weights' needs its axes where they are and the reshape 'flat' mixes "
        "axes that softmax 'last' needs whole."
    ]


def test_a_permutation_known_only_at_run_time(nchw: Nchw) -> None:
    from edgec.ir.dtype import DType
    from edgec.ir.types import TensorType

    g = nchw()
    x, order = g.input("x", 2, 3), g.graph.add_input("order", TensorType((2,), DType.INT32))
    y = g.b.emit("transpose", [x, order], name="t", source="net.onnx: /t")
    assert explained(g.module(y=y)) == [
        "transpose 't' (net.onnx: /t) stays: its permutation or its shape is only known at run time."
    ]
